"""Opening a run checks its `results.json`: what is broken, foreign or of another version is a clear error with exit code 2."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import click
import pytest
from conftest import Project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator
from tiers import examples

from alpaqual import api
from alpaqual.cli.report import report as report_command
from alpaqual.cli.rows import rows as rows_command
from alpaqual.errors import AlpaqualError, RecipeError
from alpaqual.report import html as page
from alpaqual.results.file import read_results, results_text
from alpaqual.results.results import Results, results_schema

RECIPE = """\
version: 1
name: trial
sources:
  - {path: data.jsonl, max_quarantined: 3}
rules:
  - {id: long_enough, column: output, check: {str_length: {min: 3}}, warn: 0, fail: 50%}
categories:
  - {category: coding, keywords: [Python, Java]}
graders:
  score: {column: s, scale: {min: 0, max: 5, step: 1}, health: {agreement: {with: other, kappa: {warn: 0.9}}, length: {warn: 0.1}}}
  other: {column: t, scale: {min: 0, max: 5, step: 1}}
  free: {column: u, scale: {min: 0, max: 1}}
datasets:
  quality: {threshold: {score: 4}, quotas: {coding: {min_rows: 9, strict: false}}}
  both: {threshold: {score: 3, other: 2}}
  fine: {threshold: {free: 0.4}}
  random: {sample: {like: quality}}
expect:
  - {dataset: quality, rows: {min: 5}}
  - {dataset: quality, category: coding, keep_rate: {min: 0.1}, level: warn}
report: {examples: 2, samples: 20}
"""
ROWS: list[Any] = [
    {"instruction": f"q{i}", "output": "Python" if i % 6 == 5 else f"a{i}", "s": i % 6, "t": i % 5, "u": i / 40}
    for i in range(40)
]
TRAINING: dict[str, Any] = {
    "quality": {
        "state": "done",
        "why": "",
        "base_model": "m",
        "method": "lora",
        "precision": "fp32",
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-4,
        "max_length": 64,
        "loss_on": "response",
        "prompt": "alpaca",
        "rows": 9,
        "tokens": 900,
        "steps": 4,
        "seconds": 3.5,
        "tokens_per_second": 250.0,
        "mfu": None,
        "loss_first": 3.0,
        "loss_last": 2.0,
        "cost_usd": 0.01,
        "device": "cpu",
        "held_out": {"dataset": "random", "rows": 5, "before": 3.1, "after": 2.2},
        "curve": [
            {"step": step, "loss": 3.0 / step, "learning_rate": 1e-4, "gradient_norm": 1.0} for step in range(1, 5)
        ],
    },
    "both": {
        "state": "waiting",
        "why": "another job failed",
        "base_model": "m",
        "method": "full",
        "precision": "bf16",
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1e-4,
        "max_length": 64,
        "loss_on": "all",
        "prompt": "chat",
    },
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a real run whose results have every kind of part."""
    project = Project(tmp_path_factory.mktemp("results"))
    lines = "".join(json.dumps(row) + "\n" for row in ROWS) + "{broken\n"
    project.write("data.jsonl", lines)
    both = [{"first": "a", "second": "b", "reply": "8 7"}, {"first": "b", "second": "a", "reply": "6 9"}]
    said = [{"pair": ["a", "b"], "test_set": "t", "id": n, "category": "c", **each} for n in range(3) for each in both]
    project.jsonl("log.jsonl", said)
    project.write("recipe.yaml", f"{RECIPE}\nevaluation: {{replies: log.jsonl, capability: [b]}}\n")
    folder = api.run(project.recipe).folder
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    results["training"] = TRAINING
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    yield folder
    shutil.rmtree(project.folder)


@pytest.fixture(scope="module")
def content(finished: Path) -> str:
    return (finished / "results.json").read_text(encoding="utf-8")


def test_what_is_written_is_read_and_fits_the_schema(finished: Path, content: str) -> None:
    results = read_results(finished)
    again = json.loads(results_text(results))
    assert again["datasets"] == json.loads(content)["datasets"]
    assert again == results.to_dict()
    Draft7Validator(results_schema()).validate(again)
    assert all(again[key] for key in again), "a part of the results is empty: the damage below would miss it"


def test_a_key_of_the_file_and_an_attribute_read_the_same(finished: Path) -> None:
    results = read_results(finished)
    assert results["datasets"]["random"]["from"] is results.datasets["random"].from_
    assert results["graders"]["score"]["agreement"]["with"] == "other"
    assert {**results["training"]["quality"]}["state"] == results.training["quality"].state == "done"
    assert "sample" in results.datasets["random"] and "sample" not in results.datasets["quality"]
    assert dict(results.datasets["quality"].fates)["kept"] == results.datasets["quality"].fates.get("kept")
    assert results.get("nothing", 7) == 7
    with pytest.raises(KeyError):
        results["nothing"]


def test_keys_of_a_later_version_are_skipped(finished: Path, content: str) -> None:
    later = json.loads(content)
    later["evaluation"]["benchmarks"] = {"mmlu": {"quality": 0.5}}
    later["datasets"]["quality"]["more"] = [1]
    (finished / "results.json").write_text(json.dumps(later), encoding="utf-8")
    assert read_results(finished).datasets["quality"].rows > 0


# What cannot be opened


def damaged(change: Callable[[dict[str, Any]], Any]) -> Callable[[str], str]:
    def apply(content: str) -> str:
        results = json.loads(content)
        change(results)
        return json.dumps(results)

    return apply


WRONG: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "empty": (lambda _: "", "is no whole JSON file"),
    "cut off": (lambda content: content[: len(content) // 2], "is no whole JSON file"),
    "not a text": (lambda _: b"\xff\xfe\x00", "is no whole JSON file"),
    "too deep": (lambda _: '{"recipe": {}, "version": 1, "verdict": ' + "[" * 100_000, "is no whole JSON file"),
    "a list": (lambda _: "[]", "was not written by alpaqual"),
    "another program's": (lambda _: '{"version": 3, "results": []}', "was not written by alpaqual"),
    "a version in words": (damaged(lambda found: found.update(version="1")), "was not written by alpaqual"),
    "newer": (damaged(lambda found: found.update(version=2)), "by a newer alpaqual (results version 2, this one reads 1)"),
    "older": (damaged(lambda found: found.update(version=0)), "by an older alpaqual (results version 0, this one reads 1)"),
    "a wrong type": (damaged(lambda found: found["source"].update(rows="many")), "Expected `int`, got `str` - at `$.source.rows`"),
    "a missing key": (damaged(lambda found: found["rules"][0].pop("failing_rows")), "missing required field `failing_rows` - at `$.rules[0]`"),
    "an unknown state": (damaged(lambda found: found.update(verdict="fine")), "Invalid enum value 'fine' - at `$.verdict`"),
    "an unknown kind of training": (damaged(lambda found: found["training"]["both"].update(state="lost")), "Invalid value 'lost'"),
    "a negative count": (damaged(lambda found: found["source"].update(rows=-1)), "Expected `int` >= 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("command", [report_command, rows_command])
def test_every_command_says_what_is_wrong_with_which_file(
    finished: Path, content: str, case: str, command: click.Command
) -> None:
    change, message = WRONG[case]
    wrong = change(content)
    (finished / "results.json").write_bytes(wrong if isinstance(wrong, bytes) else wrong.encode())
    with pytest.raises(RecipeError) as raised:
        command.main([str(finished)], standalone_mode=False)
    said = str(raised.value)
    assert raised.value.exit_code == 2
    assert message in said
    assert said.startswith(str(finished / "results.json"))
    assert "alpaqual run RECIPE" in said or "name the folder of a finished run" in said


def test_a_folder_without_results_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"holds no finished run \(no results\.json\)"):
        api.open_run(tmp_path)
    (tmp_path / "results.json").mkdir()
    with pytest.raises(RecipeError, match=r"results\.json: cannot be read"):
        api.open_run(tmp_path)


# Random damage


GONE = object()
WRONG_VALUES: list[Any] = [GONE, None, True, 0, -1, 1, 2**53, 10**400, 0.5, -0.5, 1e-300, 1e300, "", "x", "pass", "kept", [], {}, [[]], {"": 0}]  # fmt: skip


def keys_of(value: Any) -> list[Any]:
    return list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []


def place(document: Any, chance: Random) -> tuple[Any, Any]:
    """A dict or list somewhere in a document, and one of its keys or indexes."""
    holder, key = document, chance.choice(keys_of(document))
    while (inner := keys_of(holder[key])) and chance.random() < 0.85:
        holder, key = holder[key], chance.choice(inner)
    return holder, key


def damaged_at_random(content: str, chance: Random) -> bytes:
    """The text with one to three wrong values, or with wrong bytes."""
    if chance.random() < 0.1:
        whole = content.encode()
        at = chance.randrange(len(whole))
        return whole[:at] + chance.randbytes(chance.randrange(4)) + whole[at + chance.randrange(40) :]
    document = json.loads(content)
    for _ in range(chance.randint(1, 3)):
        holder, key = place(document, chance)
        value = chance.choice(WRONG_VALUES)
        if chance.random() < 0.3:
            # A value from another place is of the right type more often than a made-up one.
            other, at = place(document, chance)
            value = copy.deepcopy(other[at])
        if value is GONE:
            del holder[key]
        else:
            holder[key] = value
        if not document:
            break
    return json.dumps(document).encode()


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_random_damage_never_gives_a_traceback(
    finished: Path, content: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_charting", lambda: "")
    (finished / "results.json").write_bytes(damaged_at_random(content, Random(seed)))
    try:
        run = api.open_run(finished)
        for name in api.format_names():
            api.render(run.report(), name)
        run._repr_html_()
        api.check_names(run, dataset="quality", category="coding", rule="long_enough")
        assert isinstance(run.results, Results)
    except AlpaqualError as error:
        assert str(error)
