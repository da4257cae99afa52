"""What a run of the conversations must show, stated in plain Python: no code of alpaqual's is used here.

Each function raises AssertionError where the run shows something else, and returns the figures that it compared.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .making import Made, Record, Turn

JUDGE = "recorded/judge"
PROMPT = (
    "You rate conversations by [dimension], from [min] to [max]. Only the assistant's turns count.\n---\n"
    "[conversation]\n\nReply with the number alone.\n"
)
DROPPING = {"response_has_text", "something_learned", "empty_response", "placeholder_response"}
"""Rules of the packs `conversations` and `hygiene` that remove their rows."""


def rendered(messages: Sequence[Turn]) -> str:
    """A conversation as graders see it."""
    called: dict[str, str] = {}
    blocks = []
    for turn in messages:
        lines = [turn["content"]] if turn["content"] else []
        for call in turn.get("tool_calls", []):
            called[call["id"]] = call["function"]["name"]
            lines.append(f"Call of {call['function']['name']}: {call['function']['arguments']}")
        speaker = turn["role"][0].upper() + turn["role"][1:]
        if turn["role"] == "tool" and turn.get("tool_call_id") in called:
            speaker += f" ({called[turn['tool_call_id']]})"
        blocks.append(f"{speaker}: " + "\n".join(lines))
    return "\n\n".join(blocks)


def judged(messages: Sequence[Turn]) -> tuple[str, float | None]:
    """The reply of a judge that draws a score from 0 to 5 by a hash of the conversation, and that score."""
    number = int(hashlib.md5(rendered(messages).encode(), usedforsecurity=False).hexdigest(), 16)
    if number % 97 == 0:
        return "I'm sorry, I cannot rate this.", None
    score = number % 11 / 2
    return (f"{score:g}", f"Score: {score:g}", f"{score:g}/5", f"**Quality: {score:g}**\nIt is so.")[number % 4], score


def write_replies(made: Iterable[Made], path: Path) -> int:
    """Record the judge's reply to the prompt of each conversation. Returns their number."""
    system, _, user = PROMPT.strip().partition("\n---\n")
    for slot, value in {"dimension": "quality", "min": "0", "max": "5"}.items():
        system = system.replace(f"[{slot}]", value)
    lines = {}
    for each in made:
        if each.messages is None:
            continue
        messages = [["system", system], ["user", user.replace("[conversation]", rendered(each.messages))]]
        request = [JUDGE, messages, {"temperature": 0.0, "max_tokens": 16}]
        text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        key = hashlib.sha256(text.encode()).hexdigest()
        reply = {"key": key, "model": JUDGE, "text": judged(each.messages)[0], "input_tokens": 1, "output_tokens": 1}
        lines[key] = json.dumps({**reply, "cost_usd": 0.0}) + "\n"
    path.write_text("".join(lines.values()), encoding="utf-8")
    return len(lines)


def key_of(messages: Sequence[Turn], tools: Any) -> str:
    """The content of a conversation as one text."""
    return json.dumps([messages, tools or None], sort_keys=True)


def check_rows(made: Sequence[Made], rows: Sequence[Record], quarantine: Sequence[Record]) -> dict[str, int]:
    """Rows and quarantine are all records; each row is its record's normal form, each reason names what is wrong."""
    wanted = Counter(key_of(each.messages, each.tools) for each in made if each.messages is not None)
    found = Counter(key_of(json.loads(row["messages"]), json.loads(row["tools"] or "null")) for row in rows)
    assert found == wanted
    reasons = {row["reason"] for row in quarantine}
    lines: Counter[str] = Counter()
    for each in made:
        lines[each.file] += 1
        if each.messages is None:
            place = f"{each.file} line {lines[each.file]}: "
            assert any(reason.startswith(place) and each.rule in reason for reason in reasons), (place, each.rule)
    assert len(rows) + len(quarantine) == len(made)
    return {"records": len(made), "rows": len(rows), "quarantined": len(quarantine)}


def check_rules(made: Sequence[Made], failures: Iterable[tuple[str, str, Any]]) -> dict[str, int]:
    """The rules of the pack fail the conversations made to fail them, and no other; `failures` are (rule, messages, tools)."""
    wanted = {(each.rule, key_of(each.messages, each.tools)) for each in made if each.rule and each.messages}
    pack = {rule for rule, _ in wanted}
    found = {(rule, key_of(json.loads(turns), json.loads(tools or "null"))) for rule, turns, tools in failures}
    found = {each for each in found if each[0] in pack}
    assert found == wanted, sorted(found ^ wanted)[:3]
    return dict(Counter(rule for rule, _ in found))


def check_dataset(
    made: Sequence[Made], dataset: Sequence[Record], dropped: set[str], threshold: float | None
) -> dict[str, int]:
    """A dataset holds what the judge scored at least `threshold` and no rule removed: normal forms, ids and kept columns.

    `dropped` has the keys of conversations that rules removed.
    """
    wanted = {}
    for each in made:
        if each.messages is None or key_of(each.messages, each.tools) in dropped:
            continue
        score = judged(each.messages)[1]
        if threshold is None or (score is not None and score >= threshold):
            wanted[each.record["uid"]] = (each.messages, each.tools, each.record["kind"], each.record["topic"])
    found = {row["id"]: (row["messages"], row.get("tools"), row["kind"], row["topic"]) for row in dataset}
    assert len(found) == len(dataset) == len({row["row_id"] for row in dataset})
    assert found == wanted
    assert all("tools" not in row or row["tools"] for row in dataset)
    return {"rows": len(dataset)}


def labels_of(row: Record, tokenizer: Any, system: str) -> tuple[list[int], list[int]]:
    """Tokens and labels of a conversation by ChatML, written down here; -100 has no loss.

    The template has no tools: they are in the system turn, calls in their turn. `system` is its turn where there is none.
    """
    turns = [dict(turn) for turn in row["messages"]]
    if tools := row.get("tools"):
        text = "\n".join(["You may call these functions:", "<tools>", *map(_json, tools), "</tools>"])
        if turns[0]["role"] == "system":
            turns[0]["content"] += "\n\n" + text
        else:
            turns.insert(0, {"role": "system", "content": text})
    elif turns[0]["role"] != "system" and system:
        turns.insert(0, {"role": "system", "content": system})
    ids: list[int] = []
    labels: list[int] = []
    pending = ""
    for turn in turns:
        lines = [turn["content"]] if turn["content"] else []
        for call in turn.get("tool_calls", []):
            function = {**call["function"], "arguments": json.loads(call["function"]["arguments"])}
            lines.append(f"<tool_call>\n{_json(function)}\n</tool_call>")
        body = "\n".join(lines) + "<|im_end|>\n"
        pending += f"<|im_start|>{turn['role']}\n"
        if turn["role"] != "assistant" or turn.get("weight", 1) == 0:
            pending += body
            continue
        # A response is tokenized by itself: at inference its prompt was.
        for text, learned in ((pending, False), (body, True)):
            new = tokenizer(text, add_special_tokens=False)["input_ids"]
            ids += new
            labels += new if learned else [-100] * len(new)
        pending = ""
    new = tokenizer(pending, add_special_tokens=False)["input_ids"]
    return ids + new, labels + [-100] * len(new)


def labels_in(text: str, row: Record, tokenizer: Any) -> tuple[list[int], list[int]]:
    """Tokens and labels of a rendered conversation, whose assistant turns ChatML's marks delimit."""
    found = list(re.finditer(r"<\|im_start\|>assistant\n(.*?<\|im_end\|>\n)", text, re.DOTALL))
    answers = [turn for turn in row["messages"] if turn["role"] == "assistant"]
    pieces, before = [], 0
    for match, turn in zip(found, answers, strict=True):
        if turn.get("weight", 1):
            pieces += [(text[before : match.start(1)], False), (match[1], True)]
            before = match.end(1)
    ids: list[int] = []
    labels: list[int] = []
    for piece, learned in [*pieces, (text[before:], False)]:
        new = tokenizer(piece, add_special_tokens=False)["input_ids"]
        ids += new
        labels += new if learned else [-100] * len(new)
    return ids, labels


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
