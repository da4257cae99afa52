"""Makes conversations from rows of Alpaca and Dolly: follow-ups of one topic, systems, tools, weights, ShareGPT, faults.

The same seed makes the same bytes.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .faults import FAULTY, FLAWED
from .tools import DESCRIBED, USES

Turn = dict[str, Any]
Record = dict[str, Any]

FILES = ("openai.jsonl", "sharegpt.jsonl")
SYSTEMS = (
    "You are a helpful assistant. Answer briefly.",
    "You explain things to a curious twelve-year-old.",
    "Be precise. If you use a tool, state its result.",
    "Tu réponds en anglais, toujours poliment. 🙂",
)
LINKS = ("", "", "Thanks. ", "Good. Now: ", "One more thing. ")
_LONGEST = 500
"""Characters of a text of the data: short turns, so that several of them fit a small model."""


@dataclass(frozen=True)
class Made:
    """A record of a file, and what must become of it: its normal form, or None where it belongs in quarantine.

    `rule` is the rule of the pack `conversations` that it fails, or the reason of the quarantine.
    """

    file: str
    record: Record
    messages: list[Turn] | None
    tools: list[Record] | None = None
    rule: str = ""


@dataclass
class Texts:
    """Questions and answers of the data by topic."""

    topics: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Path) -> Texts:
        """Dolly's categories are topics, and each of Alpaca's rarer words that several questions share."""
        import pyarrow.parquet

        columns = ["instruction", "input", "output"]
        alpaca = pyarrow.parquet.read_table(data / "alpaca_52k.parquet", columns=columns).to_pylist()
        dolly = json.loads((data / "dolly_3k.json").read_text(encoding="utf-8"))
        topics: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for row in filter(_is_short, dolly):
            topics[f"dolly: {row['category']}"].append(_pair(row))
        rows = [row for row in alpaca if _is_short(row)][::4]
        words = [sorted(set(re.findall("[a-z]{5,}", row["instruction"].lower()))) for row in rows]
        often = Counter(word for found in words for word in found)
        for row, found in zip(rows, words, strict=True):
            if shared := [word for word in found if often[word] >= 8]:
                topics[f"alpaca: {min(shared, key=lambda word: (often[word], word))}"].append(_pair(row))
        return cls({topic: topics[topic] for topic in sorted(topics) if len(topics[topic]) >= 4})


def _is_short(row: Record) -> bool:
    text = row["instruction"] + row["input"]
    return 10 < len(text) < _LONGEST and 10 < len(row["output"]) < _LONGEST


def _pair(row: Record) -> tuple[str, str]:
    return "\n\n".join(text for text in (row["instruction"], row["input"]) if text), row["output"]


def make(data: Path, count: int = 2_000, seed: int = 10) -> list[Made]:
    """Conversations of both files, of which 3 % belong in quarantine and as many fail a rule of the pack."""
    draw = random.Random(seed)
    texts = Texts.of(data)
    return [_one(draw, texts, number, count) for number in range(count)]


def write(made: Sequence[Made], folder: Path) -> None:
    """Write the records as JSON Lines, a file a layout."""
    for name in FILES:
        lines = (json.dumps(each.record, ensure_ascii=False) + "\n" for each in made if each.file == name)
        (folder / name).write_text("".join(lines), encoding="utf-8")


def _one(draw: random.Random, texts: Texts, number: int, count: int) -> Made:
    kind = ("talk", "talk", "tools", "talk", "weights", "talk", "tools", "plain")[number % 8]
    topic = draw.choice(list(texts.topics))
    turns = _turns(draw, texts.topics[topic], kind)
    names = {call["function"]["name"] for turn in turns for call in turn.get("tool_calls", ())}
    tools = [DESCRIBED[name] for name in sorted({*names, draw.choice(list(DESCRIBED))})] if names else None
    about: Record = {"uid": f"talk-{number}", "kind": kind, "topic": topic}
    faults, flaws = list(FAULTY), list(FLAWED)
    every = 33
    if number % every == every // 2:
        reason = faults[(number // every) % len(faults)]
        return Made(FILES[0], {**about, "messages": FAULTY[reason](turns), "tools": tools}, None, rule=reason)
    if number % every == every - 1:
        rule = flaws[(number // every) % len(flaws)]
        turns, tools = FLAWED[rule](turns, tools)
        return Made(FILES[0], {**about, **_openai(draw, turns, tools)}, turns, tools, rule)
    if draw.random() < 0.2:
        turns = _numbered(turns)
        return Made(FILES[1], {**about, **_sharegpt(draw, turns, tools)}, turns, tools)
    return Made(FILES[0], {**about, **_openai(draw, turns, tools)}, turns, tools)


def _turns(draw: random.Random, pairs: list[tuple[str, str]], kind: str) -> list[Turn]:
    """A conversation in the normal form."""
    count = 1 if kind == "plain" else draw.randint(2, min(4, len(pairs)))
    turns: list[Turn] = []
    if kind != "plain" and draw.random() < 0.4:
        turns.append({"role": "system", "content": draw.choice(SYSTEMS)})
    for place, (question, answer) in enumerate(draw.sample(pairs, count)):
        link = draw.choice(LINKS) if place else ""
        turns += [{"role": "user", "content": link + question}, {"role": "assistant", "content": answer}]
        if kind != "plain" and draw.random() < 0.15:
            wish, said = "How many words did your last answer have?", f"It had {len(answer.split())} words."
            turns += [{"role": "user", "content": wish}, {"role": "assistant", "content": said}]
        if kind == "tools" and (not place or draw.random() < 0.4):
            turns += _tool_turns(draw, answer)
    if kind == "weights":
        answers = [turn for turn in turns if turn["role"] == "assistant"]
        for turn in answers[:-1]:
            turn["weight"] = draw.choice([0, 0, 1])
        answers[-1]["weight"] = 1
    return turns


def _tool_turns(draw: random.Random, text: str) -> list[Turn]:
    """A wish, one or two calls in one turn, their results, and the answer."""
    uses = [draw.choice(USES)(draw, text) for _ in range(draw.choice([1, 1, 1, 2]))]
    calls = [
        {
            "id": f"call_{draw.getrandbits(32):08x}",
            "type": "function",
            "function": {"name": use.name, "arguments": json.dumps(use.arguments, ensure_ascii=False)},
        }
        for use in uses
    ]
    results = [
        {"role": "tool", "content": use.result, "tool_call_id": call["id"]}
        for use, call in zip(uses, calls, strict=True)
    ]
    return [
        {"role": "user", "content": " ".join(use.wish for use in uses)},
        {"role": "assistant", "content": None, "tool_calls": calls},
        *results,
        {"role": "assistant", "content": " ".join(use.answer for use in uses)},
    ]


def _openai(draw: random.Random, turns: list[Turn], tools: list[Record] | None) -> Record:
    """Some texts as parts, some absent keys as null, some lists as JSON texts."""
    written = []
    for turn in turns:
        one = {"role": turn["role"], "content": turn["content"], **turn}
        if isinstance(text := one["content"], str) and draw.random() < 0.1:
            cut = draw.randint(0, len(text))
            one["content"] = [{"type": "text", "text": text[:cut]}, {"type": "text", "text": text[cut:]}]
        if draw.random() < 0.1:
            one = {**one, "tool_calls": one.get("tool_calls"), "name": None}
        written.append(one)
    record: Record = {"messages": json.dumps(written) if draw.random() < 0.1 else written}
    return {**record, "tools": json.dumps(tools) if tools and draw.random() < 0.3 else tools}


def _numbered(turns: list[Turn]) -> list[Turn]:
    """The normal form of ShareGPT's calls: a turn each, with ids by position."""
    found: list[Turn] = []
    number = 0
    for turn in turns:
        if calls := turn.get("tool_calls"):
            first = number + 1
            for call in calls:
                number += 1
                found.append({"role": "assistant", "content": None, "tool_calls": [{**call, "id": f"call_{number}"}]})
            waiting = list(range(first, number + 1))
        elif turn["role"] == "tool":
            found.append({**turn, "tool_call_id": f"call_{waiting.pop(0)}"})
        else:
            found.append(turn)
    return found


_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def _sharegpt(draw: random.Random, turns: list[Turn], tools: list[Record] | None) -> Record:
    """`from` and `value`; the recipe maps the role bing."""
    odd = draw.random() < 0.1
    written = []
    for turn in turns:
        role = "bing" if odd and turn["role"] == "assistant" else _FROM[turn["role"]]
        one = {"from": role, "value": turn["content"]}
        for call in turn.get("tool_calls", ()):
            one = {"from": "function_call", "value": json.dumps(call["function"], ensure_ascii=False)}
        written.append({**one, **({"weight": turn["weight"]} if "weight" in turn else {})})
    return {"conversations": written, "tools": None if tools is None else json.dumps(tools)}
