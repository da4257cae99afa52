"""The results of evaluations as in `results.json`: realistic numbers, the same each time; and items that judges saw."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RULES = ("paper", "fastchat", "mean_score")
VICUNA = dict.fromkeys(
    ["generic", "knowledge", "roleplay", "common-sense", "fermi", "counterfactual", "coding", "math", "writing"], 10
) | {"coding": 7, "math": 3}
SKILLS = {
    "Math": 19,
    "Code Generation": 18,
    "Writting": 18,
    "Computer Science": 11,
    "Reasoning": 10,
    "Complex Format": 10,
    "Code Debug": 10,
    "Common-Sense": 9,
    "Counterfactual": 8,
    "Multilingual": 8,
    "Roleplay": 7,
    "Biology": 7,
    "Technology": 7,
    "Ethics": 6,
    "TruthfulQA": 6,
    "Sport": 6,
    "Law": 6,
    "Medicine": 6,
    "Literature": 6,
    "Entertainment": 6,
    "Art": 6,
    "Music": 5,
    "Toxicity": 6,
    "Economy": 6,
    "Physics": 5,
    "History": 4,
    "Academic Writing": 3,
    "Chemistry": 2,
    "Philosophy": 1,
}
TEST_SETS: dict[str, dict[str, int]] = {"vicuna": VICUNA, "koala": {}, "wizardlm": SKILLS, "self_instruct": {}}
SIZES = {"vicuna": 80, "koala": 180, "wizardlm": 218, "self_instruct": 252}
FEW = 5


def counted(win: int, tie: int, lose: int, unjudged: int = 0) -> dict[str, Any]:
    """Verdicts with their winning score and 95% interval."""
    n = win + tie + lose
    if not n:
        return {"n": 0, "win": 0, "tie": 0, "lose": 0, "unjudged": unjudged}
    apart = (win - lose) / n
    half = 1.96 * math.sqrt(max((win + lose) / n - apart**2, 0) / n)
    return {
        "n": n,
        "win": win,
        "tie": tie,
        "lose": lose,
        "unjudged": unjudged,
        "winning_score": 1 + apart,
        "interval": [max(0.0, 1 + apart - half), min(2.0, 1 + apart + half)],
    }


def pair_of(groups: Mapping[str, Any], **about: Any) -> dict[str, Any]:
    """One entry of `pairs`, from the numbers of its groups or of the whole."""
    found = {**groups, **about}
    low, high = found["interval"] if found.get("interval") else (1.0, 1.0)
    found["shown"] = "helps" if low > 1 else "hurts" if high < 1 else "not shown"
    if found["n"]:
        found["p_value"] = 0.0004 if found["shown"] != "not shown" else 0.31
        found["detectable"] = 2.8 * (high - low) / 3.92
        apart = abs(found["winning_score"] - 1)
        spread = (found["win"] + found["lose"]) / found["n"] - apart**2
        found["needed"] = math.ceil(7.85 * spread / apart**2) if apart else None
    return found


def drawn(chance: random.Random, n: int, favour: float) -> tuple[int, int, int]:
    """Wins, ties and losses of n items."""
    kinds = chance.choices(("win", "tie", "lose"), (0.30 + favour, 0.4, 0.30 - favour), k=n)
    return kinds.count("win"), kinds.count("tie"), kinds.count("lose")


def entry(a: str, b: str, test_set: str, favour: float, judge: str = "judge", rule: str = "paper") -> dict[str, Any]:
    """A pair on a test set, with its categories or skills."""
    chance = random.Random(f"{a}{b}{test_set}{judge}{rule}")
    about = {"a": a, "b": b, "test_set": test_set, "judge": judge, "rule": rule}
    groups = TEST_SETS.get(test_set, {})
    if not groups:
        found = pair_of(counted(*drawn(chance, SIZES.get(test_set, 100), favour)), **about)
    else:
        parts = {name: drawn(chance, n, favour) for name, n in groups.items()}
        whole = counted(*(sum(each[index] for each in parts.values()) for index in range(3)))
        kind = "skills" if test_set == "wizardlm" else "categories"
        inside = {name: {**counted(*each), "few": groups[name] < FEW} for name, each in parts.items()}
        found = pair_of(whole, **about, **{kind: inside})
    if rule != "fastchat":
        found |= {"mean_a": 7.4 + favour, "mean_b": 7.4 - favour}
    return found


def together(entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All test sets of a pair together."""
    first = entries[0]
    numbers = counted(*(sum(each[key] for each in entries) for key in ("win", "tie", "lose", "unjudged")))
    about = {key: first[key] for key in ("a", "b", "judge", "rule")}
    return pair_of(numbers, **about, test_set=None, control=first.get("control"))


PAIRS = {("quality", "full"): 0.09, ("quality", "random"): 0.04, ("random", "full"): -0.06}


def judge_health(**changes: Any) -> dict[str, Any]:
    """A judge that can be trusted."""
    return {
        "model": "openai/gpt-4-0613",
        "prompt": "vicuna",
        "n": 2190,
        "votes": 4373,
        "unread": 7,
        "order_agreement": 0.76,
        "order_kappa": 0.59,
        "first_position_rate": 0.496,
        "second_position_rate": 0.504,
        "longer_wins_rate": 0.71,
        "win_rate": 0.602,
        "length_controlled_rate": 0.581,
        "length_controlled_interval": [0.553, 0.608],
        "calls_made": 4380,
        "input_tokens": 2_760_000,
        "output_tokens": 41_000,
        "cost_usd": 85.26,
        **changes,
    }


POOR = judge_health(
    model="openai/gpt-3.5-turbo",
    order_agreement=0.34,
    order_kappa=0.044,
    first_position_rate=0.2,
    second_position_rate=0.8,
    longer_wins_rate=0.525,
    win_rate=0.525,
    length_controlled_rate=0.513,
    length_controlled_interval=[0.48, 0.546],
    cost_usd=3.1,
    flags=["its two orders agree no more than chance (kappa 0.04): its verdicts cannot be trusted"],
)


def evaluated(
    pairs: Mapping[tuple[str, str], float] = PAIRS,
    test_sets: Sequence[str] = tuple(TEST_SETS),
    judges: Mapping[str, Any] | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """An evaluation: pairs of models on test sets, by judges, with each rule."""
    named = judges if judges is not None else {"judge": judge_health()}
    entries = []
    for judge in named:
        for rule in RULES:
            for (a, b), favour in pairs.items():
                for test_set in test_sets:
                    found = entry(a, b, test_set, favour, judge, rule)
                    entries.append(found | {"control": "random" if a == "quality" else None})
    entries[0] |= {"unjudged": 7, "unjudged_reasons": {"no score": 5, "no reply": 2}}
    keys = dict.fromkeys((each["judge"], each["rule"], each["a"], each["b"]) for each in entries)
    overall = [
        together([each for each in entries if (each["judge"], each["rule"], each["a"], each["b"]) == key])
        for key in keys
    ]
    models = dict.fromkeys(name for pair in pairs for name in pair)
    return {
        "rule": "paper",
        "answers": [answers(model, test_set) for model in models for test_set in test_sets],
        "pairs": entries,
        "overall": overall if len(test_sets) > 1 else [],
        "judges": dict(named),
        "ratings": {
            name: {"rating": 1040 - 31.5 * index, "interval": [1015 - 31.5 * index, 1065 - 31.5 * index], "n": 1460}
            for index, name in enumerate(models)
        }
        if len(models) > 2
        else {},
        **changes,
    }


def answers(model: str, test_set: str, **changes: Any) -> dict[str, Any]:
    """Answers of a model to a test set."""
    items = SIZES.get(test_set, 100)
    return {
        "model": model,
        "test_set": test_set,
        "questions": items,
        "answered": items - 1,
        "cut": 3,
        "empty": 1,
        "unanswered": {"no reply": 1},
        "input_tokens": items * 61,
        "output_tokens": items * 214,
        "cost_usd": 0.41,
        "seconds": 83.0,
        "gpu_hours": 0.023,
        "mean_characters": 812.4,
        **changes,
    }


def capability_of(percentage: float, names: Mapping[str, int], seed: int = 1) -> dict[str, Any]:
    """A capability with its groups."""
    chance = random.Random(seed)
    groups = {
        name: {"percentage": percentage + chance.uniform(-14, 14), "n": items, "few": items < FEW}
        for name, items in names.items()
    }
    interval = [percentage - 2.1, percentage + 2.2]
    return {"percentage": percentage, "n": sum(names.values()), "interval": interval, "groups": groups}


def size_points(test_set: str = "vicuna", against: str = "full") -> list[dict[str, Any]]:
    """Nested datasets of growing size against the whole set."""
    points = []
    for rows, score in ((3000, 0.82), (6000, 1.03), (9000, 1.21)):
        about = {"model": f"quality_{rows // 1000}k", "against": against, "test_set": test_set, "judge": "judge"}
        points.append(
            {
                **about,
                "rows": rows,
                "winning_score": score,
                "interval": [score - 0.12, score + 0.12],
                "reaches": rows == 6000,
            }
        )
    return points


def everything() -> dict[str, Any]:
    """An evaluation with every part filled."""
    models = ("quality", "random", "full")
    return evaluated(
        judges={"gpt-4": judge_health(), "gpt-3.5": POOR},
        agreements=[{"judges": ["gpt-4", "gpt-3.5"], "n": 2183, "agreement": 0.47, "kappa": 0.12}],
        capability={
            name: {
                "davinci-003": capability_of(90 - 4 * index, SKILLS, index),
                "chatgpt": capability_of(78 - 3 * index, SKILLS, index + 9),
            }
            for index, name in enumerate(models)
        },
        sizes=[
            *size_points(),
            *({**each, "winning_score": each["winning_score"] + 0.05} for each in size_points("koala")),
        ],
        waiting={"answering.other.koala": "vllm is not installed"},
    )


def many() -> dict[str, Any]:
    """Six models, each pair of them."""
    names = ["quality_9k", "quality_6k", "random_9k", "random_6k", "full_52k", "llama-2-7b-chat"]
    pairs = {(a, b): 0.02 * (j - i) for i, a in enumerate(names) for j, b in enumerate(names) if i < j}
    return evaluated(pairs, ("vicuna", "koala"))


def judged_rows(count: int = 60, *, text: str = "", **about: Any) -> list[dict[str, Any]]:
    """Rows of `evaluation/verdicts.parquet`."""
    chance, rows = random.Random(count), []
    categories = list(VICUNA)
    for number in range(count):
        verdict = chance.choice(("win", "win", "tie", "lose", None))
        first, second = {"win": (9.0, 7.0), "lose": (6.0, 8.0), "tie": (8.0, 8.0)}.get(verdict or "", (None, None))
        winner = {"win": "first", "lose": "second", "tie": "tie"}.get(verdict or "")
        other = {"win": "second", "lose": "first", "tie": "tie"}.get(verdict or "")
        said = "" if first is None or second is None else f"{first:g} {second:g}\nAssistant 1 is {'clearer' * 3}."
        rows.append(
            {
                "a": "quality",
                "b": "full",
                "test_set": "vicuna",
                "judge": "judge",
                "id": f"vicuna_{number + 1}",
                "category": categories[number % len(categories)],
                "skill": None,
                "question": f"{text}Question {number}: how does a bicycle keep its balance, and who found out?",
                "answer_a": f"{text}It steers under its own fall. " * 12,
                "answer_b": f"{text}It is balanced.",
                "reply_a_first": text + said,
                "winner_a_first": winner,
                "score_a_first_1": first,
                "score_a_first_2": second,
                "reason_a_first": None if winner else "no score",
                "reply_b_first": text + said,
                "winner_b_first": other,
                "score_b_first_1": second,
                "score_b_first_2": first,
                "reason_b_first": None if winner else "no score",
                "one_order": False,
                "verdict": verdict,
                **about,
            }
        )
    return rows


def write_verdicts(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows as `evaluation/verdicts.parquet` of a run folder."""
    import duckdb

    (folder / "evaluation").mkdir(parents=True, exist_ok=True)
    lines = folder / "verdicts.jsonl"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    columns = dict.fromkeys(rows[0], "VARCHAR") if rows else {}
    columns |= {name: "DOUBLE" for name in columns if name.startswith("score_")}
    columns |= {name: "BOOLEAN" for name in columns if name == "one_order"}
    with duckdb.connect() as connection:
        connection.read_json(str(lines), format="newline_delimited", columns=columns).write_parquet(
            str(folder / "evaluation" / "verdicts.parquet")
        )
    lines.unlink()
