"""Scores from a column, a table or recorded replies: on the scale, or no score and the reason why."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from conftest import Project
from tiers import fast_first

from alpaqual.api import Run
from alpaqual.errors import MachineError, RecipeError, StageError, StoreError
from alpaqual.graders._prompt_spec import PromptSpec
from alpaqual.graders.model import Plugin
from alpaqual.reply_text import longer
from alpaqual.store.ledger import entry, request_key
from alpaqual.values import Reply, Row

Graded = list[tuple[float | None, str | None]]
NONE, OFF = (None, "no score in the column"), (None, "out of scale")


def not_a_number(value: str) -> tuple[None, str]:
    return None, f"not a number: {value}"


KEPT_FROM_3 = "{full: {}, good: {threshold: {g: 3}}}"


def grades(run: Run) -> Graded:
    """(score, reason) of each row in the order of the source; every count of the results fits them."""
    frame = run.grades.polars().sort("n")
    found = frame.select("score", "reason").rows()
    assert all((score is None) != (reason is None) for score, reason in found)
    counted = run.results["graders"]["g"]
    assert counted["rows"] == len(found) == run.results["source"]["rows"]
    assert counted["scored"] == sum(score is not None for score, _ in found)
    assert counted["scored"] == sum(bar["rows"] for bar in counted["histogram"])
    assert counted["unscored"] == sum(counted["unscored_reasons"].values())
    good = run.results["datasets"].get("good")
    if good is not None:
        assert good["rows"] == sum(score is not None and score >= 3 for score, _ in found)
        assert good["fates"]["unscored"] == counted["unscored"]
    return found


def parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# A column

COLUMNS: dict[str, tuple[list[Any], Graded]] = {
    "floats": ([1.0, 2.5, 5.0, None], [(1, None), (2.5, None), (5, None), NONE]),
    "integers": ([0, 3, 5, None], [(0, None), (3, None), (5, None), NONE]),
    "out of scale": ([-0.01, 5.01, 6, 3], [OFF, OFF, OFF, (3, None)]),
    "not a number and endless": (
        [float("nan"), float("inf"), float("-inf"), 4.0],
        [not_a_number("nan"), OFF, OFF, (4, None)],
    ),
    "not a number among scores in scale": ([float("nan"), 4.0, 1.0], [not_a_number("nan"), (4, None), (1, None)]),
    "texts with numbers": (
        ["3", "4.5", " 2 ", "x", "nan", "9", None],
        [(3, None), (4.5, None), (2, None), not_a_number("x"), not_a_number("nan"), OFF, NONE],
    ),
    "nothing but nulls": ([None, None], [NONE, NONE]),
}


@pytest.mark.parametrize("kind", fast_first(1, ["jsonl", "csv", "parquet"]))
@pytest.mark.parametrize("values", COLUMNS)
def test_a_column_of(project: Project, values: str, kind: str) -> None:
    scores, wanted = COLUMNS[values]
    rows = [{"instruction": f"q{i}", "output": "a", "s": score} for i, score in enumerate(scores)]
    frame = pl.DataFrame(rows, strict=False)
    if kind == "parquet" and frame["s"].dtype == pl.Null:
        frame = frame.with_columns(pl.col("s").cast(pl.Float64))
    content: dict[str, Callable[[], str | bytes]] = {
        "jsonl": lambda: lines(rows),
        "csv": lambda: frame.write_csv(),
        "parquet": lambda: parquet(frame),
    }
    project.write(f"d.{kind}", content[kind]())
    project.ask(f"d.{kind}", "graders: {g: {column: s}}", datasets=KEPT_FROM_3)
    assert grades(project.run()) == wanted


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
def test_truth_values_are_scores_on_a_scale_of_0_to_1(project: Project, kind: str) -> None:
    rows = [{"instruction": f"q{i}", "output": "a", "s": score} for i, score in enumerate([True, False, None])]
    frame = pl.DataFrame(rows)
    content = {"jsonl": lines(rows), "csv": frame.write_csv(), "parquet": parquet(frame)}
    project.write(f"d.{kind}", content[kind])
    project.ask(f"d.{kind}", "graders: {g: {column: s, scale: {min: 0, max: 1}}}")
    assert grades(project.run()) == [(1, None), (0, None), NONE]


def test_an_empty_text_is_no_score(project: Project) -> None:
    project.jsonl("d.jsonl", [{"instruction": "q", "output": "a", "s": s} for s in ("", "1", "x")])
    project.ask("d.jsonl", "graders: {g: {column: s}}")
    assert grades(project.run()) == [NONE, (1, None), not_a_number("x")]


def test_a_score_may_be_one_of_the_row_s_own_texts(project: Project) -> None:
    project.jsonl("d.jsonl", [{"instruction": "q", "output": text} for text in ("4", "word")])
    project.ask("d.jsonl", "graders: {g: {column: output}}")
    assert grades(project.run()) == [(4, None), not_a_number("word")]


# A table

ROWS = [{"instruction": f"q{i}", "output": "a", "uid": f"u{i}", "number": i} for i in range(4)]
ABSENT = (None, "no score in the table")


def with_table(project: Project, file: str, content: str | bytes, spec: str = "key: uid, score: s") -> Run:
    project.jsonl("d.jsonl", ROWS)
    project.write(file, content)
    project.ask("d.jsonl", f"graders: {{g: {{table: {file}, {spec}}}}}", datasets=KEPT_FROM_3)
    return project.run()


_TABLE = [{"uid": "u2", "s": 4.5}, {"uid": "u0", "s": 1.0}, {"uid": "u3", "s": None}, {"uid": "elsewhere", "s": 2.0}]


@pytest.mark.parametrize("kind", fast_first(1, ["csv", "jsonl", "json", "parquet"]))
def test_a_table_is_joined_by_a_key_column_in_any_order(project: Project, kind: str) -> None:
    found = []
    for seed in range(3):
        table = random.Random(seed).sample(_TABLE, len(_TABLE))
        content: dict[str, Callable[[], str | bytes]] = {
            "csv": lambda t=table: pl.DataFrame(t).write_csv(),
            "jsonl": lambda t=table: lines(t),
            "json": lambda t=table: json.dumps(t),
            "parquet": lambda t=table: parquet(pl.DataFrame(t)),
        }
        found.append(grades(with_table(project, f"t.{kind}", content[kind]())))
    assert found == [[(1, None), ABSENT, (4.5, None), ABSENT]] * 3


@pytest.mark.slow
@pytest.mark.parametrize("key", ["0", "0.0", 0, 0.0])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_numeric_key_matches_in_every_notation(project: Project, kind: str, key: Any) -> None:
    table = [{"number": key, "s": 4}]
    content: dict[str, Callable[[], str | bytes]] = {
        "csv": lambda: f"number,s\n{key},4\n",
        "jsonl": lambda: lines(table),
        "parquet": lambda: parquet(pl.DataFrame(table)),
    }
    run = with_table(project, f"t.{kind}", content[kind](), "key: number, score: s")
    assert grades(run) == [(4, None), ABSENT, ABSENT, ABSENT]


def test_a_table_by_row_ids_follows_the_rows(project: Project) -> None:
    project.jsonl("d.jsonl", ROWS)
    project.ask("d.jsonl")
    ids = project.run().datasets["full"].polars().select("id", "instruction").rows()
    table = "id,score\n" + "".join(f"{row_id},{instruction[1]}\n" for row_id, instruction in ids)
    run = with_table(project, "t.csv", table, "scale: {min: 0, max: 5}")
    assert grades(run) == [(0, None), (1, None), (2, None), (3, None)]
    project.jsonl("d.jsonl", ROWS[::-1])
    assert grades(project.run()) == [(3, None), (2, None), (1, None), (0, None)]


def test_invalid_scores_of_a_table_have_a_reason(project: Project) -> None:
    table = "uid,s\nu0,true\nu1,x\nu2,nan\nu3,9\n"
    assert grades(with_table(project, "t.csv", table)) == [*map(not_a_number, ("true", "x", "nan")), OFF]


def test_truth_values_of_a_table_are_scores_on_a_scale_of_0_to_1(project: Project) -> None:
    project.jsonl("d.jsonl", ROWS)
    project.write("t.csv", "uid,s\nu0,true\nu1,x\nu2,FALSE\nu3,9\n")
    project.ask("d.jsonl", "graders: {g: {table: t.csv, key: uid, score: s, scale: {min: 0, max: 1}}}")
    assert grades(project.run()) == [(1, None), not_a_number("x"), (0, None), OFF]


def test_nan_in_a_table_whose_numbers_are_all_on_the_scale_is_kept_out(project: Project) -> None:
    run = with_table(project, "t.csv", "uid,s\nu0,1\nu1,nan\nu2,4\n")
    assert grades(run) == [(1, None), not_a_number("nan"), (4, None), ABSENT]
    assert run.datasets["good"].polars()["instruction"].to_list() == ["q2"]


@pytest.mark.parametrize(
    ("table", "finding"),
    [
        (
            "uid,s\nu0,1\nu0,2\nu1,3\n",
            r"t\.csv: imported scores are not valid: key: field_uniqueness \(2\): the key 'u0' 2 times$",
        ),
        ("uid,s\nu0,1\n,2\n", r"t\.csv: imported scores are not valid: key: not_nullable \(1\): no key in 1 row$"),
    ],
)
def test_a_key_must_exist_and_be_unique(project: Project, table: str, finding: str) -> None:
    with pytest.raises(StageError, match=rf"recipe\.yaml:\d+:\d+: {finding}"):
        with_table(project, "t.csv", table)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("t.csv", "uid;s\nu0;1\n", "5:22: t.csv has one column, 'uid;s': separate columns by commas"),
        ("t.csv", "uid,score\nu0,1\n", "5:22: t.csv has no column 's'"),
        ("t.csv", "uidd,s\nu0,1\n", "5:22: t.csv has no column 'uid', did you mean 'uidd'"),
        ("t.csv", "", "5:22: t.csv has no column|5:22: t.csv cannot be read"),
        ("t.csv", "uid,s\nu0,1\nu1\n", "5:22: t.csv cannot be read"),
        ("t.csv", "uid,s\n" + "u,1\n" * 30_000 + "u1\n", "5:22: t.csv cannot be read"),
        ("t.jsonl", '{"uid": "u0", "s": 1}\n{oops\n', "5:22: t.jsonl cannot be read.*line"),
        ("t.json", '[{"uid": "u0", "s": 1}', "5:22: t.json: broken JSON at line 1"),
        ("t.parquet", "junk", "5:22: t.parquet cannot be read"),
        (
            "t.xlsx",
            "junk",
            "5:22: cannot tell the format of t.xlsx: use .arrow, .feather, .csv, .json, .jsonl, .ndjson, .parquet or .tsv",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_at_its_place(
    project: Project, file: str, content: str, words: str
) -> None:
    with pytest.raises(RecipeError, match=words):
        with_table(project, file, content)


def test_a_table_that_is_not_there_is_refused(project: Project) -> None:
    project.jsonl("d.jsonl", ROWS)
    project.ask("d.jsonl", "graders: {g: {table: gone.csv}}")
    with pytest.raises(RecipeError, match=r"5:22: there is no file gone\.csv"):
        project.run()


def test_a_key_that_no_source_has_is_refused(project: Project) -> None:
    with pytest.raises(RecipeError, match="no source has a column 'uidd', did you mean 'uid'"):
        with_table(project, "t.csv", "uidd,s\n", "key: uidd, score: s")


def test_a_missing_column_of_the_data_is_not_taken_for_the_field_of_its_name(project: Project) -> None:
    project.jsonl("d.jsonl", ROWS)
    project.ask("d.jsonl", "rules: [{id: a, where: source.response IS NULL}]")
    with pytest.raises(RecipeError, match="no source has a column 'response'; there are: "):
        project.run()


# Recorded replies


def keys(model: str = "openai/one", rows: list[dict[str, Any]] = ROWS) -> list[str]:
    """The ledger keys of what a grader asks about the rows."""
    plugin = Plugin(PromptSpec("accuracy", 0, 5, {"temperature": 0.0, "max_tokens": 16}), model)
    return [request_key(plugin.request(Row("", row["instruction"], "", row["output"]))) for row in rows]


def recorded(project: Project, ledger: str | bytes, rows: list[dict[str, Any]] = ROWS) -> Run:
    project.jsonl("d.jsonl", rows)
    project.write("replies.jsonl", ledger)
    project.ask("d.jsonl", "graders: {g: {model: recorded/replies.jsonl}}", datasets=KEPT_FROM_3)
    return project.run()


def line(key: str, text: str, model: str = "openai/one") -> str:
    return entry(key, Reply(text, model, 300, 40)) + "\n"


REPLIES: dict[str, tuple[float | None, str | None]] = {
    "4.5": (4.5, None),
    "4.5\nA fine answer, but it says Score: 1": (4.5, None),
    "Score: 4": (4, None),
    "**Accuracy: 3.5**\nwhy": (3.5, None),
    "4/5": (4, None),
    "5 out of 5\n": (5, None),
    '{"score": 4, "why": "x"}': (4, None),
    '```json\n{"accuracy": "3"}\n```': (3, None),
    "<think>\nperhaps 1?\n</think>\n4": (4, None),
    "Score:\n4": (4, None),
    "<think>\nstill thinking about 4": (None, "unfinished thinking"),
    "": (None, "empty reply"),
    " \n\n ": (None, "empty reply"),
    "6": (None, "out of scale"),
    "-1": (None, "out of scale"),
    "8/10": (None, "out of scale"),
    "N/A": (None, "no number"),
    "The response is fine.\nScore: 5": (None, "no number"),
    "I'm sorry, I cannot rate this.": (None, "refusal"),
    '{"comment": "none"}': (None, "no number"),
    "4 or 5, hard to say\x00": (None, "no number"),
}


def test_every_form_of_a_reply(project: Project) -> None:
    rows = [{"instruction": f"q{i}", "output": "a"} for i in range(len(REPLIES))]
    run = recorded(project, "".join(line(key, text) for key, text in zip(keys(rows=rows), REPLIES, strict=True)), rows)
    assert dict(zip(REPLIES, grades(run), strict=True)) == REPLIES
    counted = run.results["graders"]["g"]
    assert (counted["calls_made"], counted["calls_reused"]) == (0, len(REPLIES))
    assert (counted["input_tokens"], counted["output_tokens"]) == (300 * len(REPLIES), 40 * len(REPLIES))


def test_a_cut_reply_is_followed_by_one_longer_reply(project: Project) -> None:
    plugin = Plugin(PromptSpec("accuracy", 0, 5, {"temperature": 0.0, "max_tokens": 16}), "openai/one")
    requests = [plugin.request(Row("", row["instruction"], "", row["output"])) for row in ROWS]
    firsts = ["4.", "4.", "4.", "4.5\nIt is"]
    seconds = [("4.5\nRight", "stop"), ("It is", "length"), ("It is right.", "stop")]
    lines = [(request, text, "length") for request, text in zip(requests, firsts, strict=True)]
    for request, (text, reason) in zip(requests, seconds, strict=False):
        retried = longer(request)
        assert retried is not None
        lines.append((retried, text, reason))
    run = recorded(
        project,
        "".join(
            entry(request_key(request), Reply(text, "openai/one", finish_reason=reason)) + "\n"
            for request, text, reason in lines
        ),
    )
    assert grades(run) == [(4.5, None), (None, "cut"), (None, "no number"), (4.5, None)]
    assert run.results["graders"]["g"]["calls_reused"] == len(lines)
    assert any("raise max_tokens" in reason["text"] for reason in run.results["reasons"])


def test_a_row_without_a_reply_is_unscored(project: Project) -> None:
    run = recorded(project, "".join(line(key, "4") for key in keys()[:2]))
    assert grades(run) == [(4, None), (4, None)] + [(None, "no recorded reply")] * 2
    assert run.results["graders"]["g"]["unscored_reasons"] == {"no recorded reply": 2}


def test_a_torn_last_line_is_skipped(project: Project) -> None:
    first, second, *_ = keys()
    run = recorded(project, line(first, "4") + line(second, "5")[:-20])
    assert grades(run) == [(4, None)] + [(None, "no recorded reply")] * 3


@pytest.mark.parametrize(
    "broken",
    [
        '{"key": "x", "mod',
        "null",
        "5",
        "[]",
        "[" * 100_000,
        '{"key": 1, "model": "m", "text": "5"}',
        '{"key": "k", "model": null, "text": "5"}',
        '{"key": "k", "model": "m", "text": 5}',
        '{"key": "k", "model": "m", "text": "5", "input_tokens": "many"}',
        '{"key": "k", "text": "5"}',
    ],
)
def test_a_broken_line_in_the_middle_is_an_error_with_its_place(project: Project, broken: str) -> None:
    first, second, *_ = keys()
    with pytest.raises(StoreError, match=r"replies\.jsonl:2: not an entry of a ledger"):
        recorded(project, line(first, "4") + broken + "\n" + line(second, "5"))


def test_a_lone_surrogate_in_a_reply_becomes_the_replacement_character(project: Project) -> None:
    torn = json.dumps({"key": keys()[0], "model": "m", "text": "4\n\ud800"})
    run = recorded(project, (torn + "\n").replace('"m"', '"openai/one"'))
    assert run.grades.polars().sort("n")["reply"][0] == "4\n\ufffd"


def test_of_two_models_the_first_that_replied_counts(project: Project) -> None:
    one, two = keys("openai/one"), keys("anthropic/two")
    ledger = line(two[0], "1", "anthropic/two") + line(one[0], "5") + line(one[1], "4")
    run = recorded(project, ledger)
    assert grades(run)[:2] == [(1, None), (4, None)]
    assert run.results["graders"]["g"]["models"] == ["anthropic/two", "openai/one"]


def test_the_first_of_two_replies_to_one_request_counts(project: Project) -> None:
    run = recorded(project, line(keys()[0], "2") + line(keys()[0], "5"))
    assert grades(run)[0] == (2, None)


def test_a_folder_of_recorded_replies(project: Project) -> None:
    first, second, *_ = keys()
    project.jsonl("d.jsonl", ROWS)
    project.write("replies/b.jsonl", line(first, "1") + line(second, "3"))
    project.write("replies/a.jsonl", line(first, "5"))
    project.ask("d.jsonl", "graders: {g: {model: recorded/replies}}")
    assert grades(project.run())[:2] == [(5, None), (3, None)]


def test_a_live_model_without_a_key_is_refused_before_any_stage(project: Project) -> None:
    project.jsonl("d.jsonl", ROWS)
    project.ask("d.jsonl", "graders: {g: {model: openai/gpt-4o-mini}}")
    with pytest.raises(MachineError, match="openai"):
        project.run()
    assert not (project.folder / "runs").exists()


@pytest.mark.parametrize("off", ["false", "False", "0"])
def test_validation_that_is_switched_off_is_refused(project: Project, off: str) -> None:
    project.jsonl("d.jsonl", ROWS)
    project.write("t.csv", "uid,s\nu0,1\n")
    project.ask("d.jsonl", "graders: {g: {table: t.csv, key: uid, score: s}}")
    done = project.command("run", "recipe.yaml", env={"PANDERA_VALIDATION_ENABLED": off})
    assert done.returncode == 3
    assert "PANDERA_VALIDATION_ENABLED" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("place", "problem"),
    [
        ("first", r"it needs one group, around the score, not 0 \(or write first_line, last_line, json\)"),
        ("'(a+)+'", "repeats what repeats"),
        ("'(?=a)(b)'", "RE2 has no look-around"),
    ],
)
def test_a_place_of_the_score_that_cannot_be_is_refused(project: Project, place: str, problem: str) -> None:
    project.jsonl("d.jsonl", ROWS)
    project.ask("d.jsonl", f"graders: {{g: {{model: recorded/replies, reply: {place}}}}}")
    with pytest.raises(RecipeError, match=problem):
        project.run()


def test_another_place_of_the_score_reads_the_same_replies_again(project: Project) -> None:
    ledger = "".join(line(key, f"{number}\nIn short:\n{number + 1}") for number, key in enumerate(keys()))
    first = recorded(project, ledger)
    assert [score for score, _ in grades(first)] == [0, 1, 2, 3]
    project.ask("d.jsonl", "graders: {g: {model: recorded/replies.jsonl, reply: last_line}}", datasets=KEPT_FROM_3)
    last = project.run()
    assert [score for score, _ in grades(last)] == [1, 2, 3, 4]
    assert last.results["graders"]["g"]["calls_made"] == 0
