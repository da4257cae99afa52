"""Graders of conversations over a real server: `[conversation]` whole, and `each: turn`, held to a plain reading of the turns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from conftest import Project
from loopback import Server, score_of

from alpaqual.api import Run

pytestmark = pytest.mark.slow

CALL = {"id": "t", "type": "function", "function": {"name": "convert", "arguments": '{"km": 2}'}}
TALKS: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "one"}, {"role": "assistant", "content": "first"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "2 km in miles?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "1.24", "tool_call_id": "t"},
        {"role": "assistant", "content": "1.24 miles."},
        {"role": "user", "content": "And 3?"},
        {"role": "assistant", "content": "1.86 miles."},
        {"role": "user", "content": "Thanks."},
    ],
    [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "not learned", "weight": 0},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": "learned", "weight": 1},
    ],
    [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}],
]
TRIPLE = {"instruction": "two", "input": "given", "output": "second"}
PROMPT = "Rate [dimension] from [min] to [max].\n\n[conversation]"
NAMES = {"user": "User", "assistant": "Assistant", "system": "System", "tool": "Tool (convert)"}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")


def read(turns: list[dict[str, Any]]) -> str:
    """Turns as a person writes them down."""
    lines = []
    for turn in turns:
        calls = [f"Call of {c['function']['name']}: {c['function']['arguments']}" for c in turn.get("tool_calls", [])]
        lines.append(f"{NAMES[turn['role']]}: " + "\n".join([turn["content"]] * bool(turn["content"]) + calls))
    return "\n\n".join(lines)


def score(turns: list[dict[str, Any]]) -> float:
    """What the server answers to the prompt about these turns."""
    return score_of(f"Rate accuracy from 0 to 5.\n\n{read(turns)}")


def expected() -> dict[str, dict[int, float]]:
    """By the last text of each row: the score of each turn to grade, by its number."""
    given = [*TALKS, [{"role": "user", "content": "two\n\ngiven"}, {"role": "assistant", "content": "second"}]]
    return {
        next(turn["content"] for turn in reversed(turns) if turn["role"] == "assistant"): {
            number: score(turns[:number])
            for number, turn in enumerate(turns, 1)
            if turn["role"] == "assistant" and turn.get("weight") != 0
        }
        for turns in given
    }


def ask(project: Project, server: Server, words: str, talks: list[Any] = TALKS, **more: Any) -> Run:
    project.jsonl("talks.jsonl", [{"messages": turns} for turns in talks])
    project.jsonl("triples.jsonl", [TRIPLE])
    project.write("prompt.txt", PROMPT)
    grader = f"model: openai/gpt-4o-mini, base_url: '{server.openai}', prompt: prompt.txt, scale: {{min: 0, max: 5, step: 0.5}}"
    project.write(
        "recipe.yaml",
        f"version: 1\nname: r\nsources: [{{path: talks.jsonl}}, {{path: triples.jsonl}}]\n"
        f"graders: {{g: {{{grader}, {words}}}}}\n"
        "expect: [{grader: g, unscored: {max: 90%}}]\ndatasets: {full: {}, good: {threshold: {g: 2.5}}}\n",
    )
    return project.run(**more)


def scores(run: Run) -> dict[str, float | None]:
    """The score of each row by its response."""
    rows = pl.read_parquet(run.folder / "tables" / "rows.parquet").select("n", "response")
    return dict(run.grades.polars().join(rows, on="n").select("response", "score").rows())


def turn_scores(run: Run) -> dict[str, dict[int, float | None]]:
    rows = pl.read_parquet(run.folder / "tables" / "rows.parquet").select("n", "response")
    found: dict[str, dict[int, float | None]] = {}
    for response, turn, value in run.turn_grades.polars().join(rows, on="n").select("response", "turn", "score").rows():
        found.setdefault(response, {})[turn] = value
    return found


def requests(server: Server) -> int:
    total = int(server.stats()["requests"])
    server.reset()
    return total


WAYS = {"min": min, "mean": lambda found: round(sum(found) / len(found), 9), "last": lambda found: found[-1]}


def test_each_turn_is_scored_and_replies_serve_every_combination(project: Project, server: Server) -> None:
    wanted = expected()
    count = sum(len(turns) for turns in wanted.values())
    for how, combine in WAYS.items():
        run = ask(project, server, f"each: turn, combine: {how}")
        assert requests(server) == (count if how == "min" else 0)
        assert scores(run) == {
            response: combine(list(turns.values())) if turns else None for response, turns in wanted.items()
        }
        assert turn_scores(run) == {response: turns for response, turns in wanted.items() if turns}
        found = run.results["graders"]["g"]
        assert (found["calls_made"], found["calls_reused"]) == ((count, 0) if how == "min" else (0, count))
        assert found["source"] == f"openai/gpt-4o-mini, {how} of the turns"
        assert found["unscored_reasons"] == {"no assistant turn with a weight above 0": 1}
        assert run.results["datasets"]["good"]["rows"] == sum(
            bool(turns) and combine(list(turns.values())) >= 2.5 for turns in wanted.values()
        )


def test_a_second_run_calls_nothing_and_rows_show_the_turns(project: Project, server: Server) -> None:
    ask(project, server, "each: turn")
    requests(server)
    again = ask(project, server, "each: turn")
    assert requests(server) == 0
    (row,) = [row for row in again.rows(dataset="full") if row["response"] == "1.86 miles."]
    wanted = expected()["1.86 miles."]
    assert row["turn_scores"]["g"] == [{"turn": turn, "score": value, "reason": None} for turn, value in wanted.items()]
    shown = project.command("rows", str(again.folder), "--id", row["id"]).stdout
    listed = ", ".join(f"turn {turn}: {value:g}" for turn, value in wanted.items())
    assert f"scores: g {min(wanted.values()):g} ({listed})" in " ".join(shown.split())


def test_without_each_the_whole_conversation_is_one_request(project: Project, server: Server) -> None:
    run = ask(project, server, "pilot: 0")
    assert requests(server) == len(TALKS) + 1
    assert scores(run)["1.86 miles."] == score(TALKS[1])
    assert not (run.folder / "tables" / "turn_grades.parquet").exists()
    assert requests(server) == 0
    # A row with one assistant turn at its end has the same request turn by turn.
    ask(project, server, "each: turn")
    assert requests(server) == sum(len(turns) for turns in expected().values()) - 3


@pytest.mark.parametrize("how", WAYS)
def test_a_turn_without_a_score(project: Project, server: Server, how: str) -> None:
    # The prompt about the third turn holds the text of the second too.
    server.settings(slow_ms=1, rows={"And 3?": "slow", "1.24 miles.": "refusal"})
    run = ask(project, server, f"each: turn, combine: {how}", [TALKS[1]])
    wanted = expected()["1.86 miles."]
    found = turn_scores(run)["1.86 miles."]
    assert (found[3], found[5], found[7]) == (wanted[3], None, wanted[7])
    reasons = dict(run.grades.polars().select("id", "reason").rows()).values()
    assert scores(run)["1.86 miles."] == (wanted[7] if how == "last" else None)
    assert ("refusal" in reasons) == (how != "last")


def test_plan_counts_turns_and_batches_bring_them(project: Project, server: Server) -> None:
    server.settings(batch_seconds=0.2)
    count = sum(len(turns) for turns in expected().values())
    words = "each: turn, mode: batch, poll_seconds: 0.1, pilot: 1"
    run = ask(project, server, words)
    assert turn_scores(run) == {response: turns for response, turns in expected().items() if turns}
    assert run.results["graders"]["g"]["calls_made"] == count
    assert sum(batch["rows"] for batch in server.batches()) > 0
    longer = [[*TALKS[0], *turns] for turns in TALKS]
    project.jsonl("talks.jsonl", [{"messages": turns} for turns in longer])
    (planned,) = json.loads(project.command("plan", "recipe.yaml", "--json").stdout)["graders"]
    # The first turn of each is known, and so is the triple.
    new = count - 1
    assert (planned["rows"], planned["calls"], planned["items"]) == (new + len(longer) + 1, new, "turns")
    assert f"{new:,} calls ({len(longer) + 1:,} of {new + len(longer) + 1:,} turns are in the ledger)" in (
        project.command("plan", "recipe.yaml").stdout
    )
