"""Grades and imported scores are validated as pandera validates the same frames, with the same words."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.engines import viewing
from alpaqual.errors import MachineError, StageError
from alpaqual.store.frames import pandera_polars
from alpaqual.store.grades import GradeParts, write_imported
from alpaqual.values import Grade

LOW, HIGH = 0, 5
GRADES = {
    "grader": pl.String,
    "n": pl.Int64,
    "id": pl.String,
    "score": pl.Float64,
    "reason": pl.String,
    "reply": pl.String,
}
SCORES = {"key": pl.String, "score": pl.Float64}
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def grades_schema() -> Any:
    """What grades must be, in pandera's words."""
    pa = pandera_polars()
    number = pa.Check(lambda data: data.lazyframe.select(pl.col(data.key).is_not_nan()), error="is a number")
    either = pa.Check(
        lambda data: data.lazyframe.select(pl.col("score").is_null() != pl.col("reason").is_null()),
        error="a score or a reason",
    )
    columns = {
        "grader": pa.Column(str),
        "n": pa.Column(int, unique=True),
        "id": pa.Column(str, pa.Check.str_length(min_value=16)),
        "score": pa.Column(float, [pa.Check.in_range(LOW, HIGH), number], nullable=True),
        "reason": pa.Column(str, nullable=True),
        "reply": pa.Column(str, nullable=True),
    }
    return pa.DataFrameSchema(columns, checks=either, strict=True, name="grades")


def imported_schema() -> Any:
    """What imported scores must be, in pandera's words."""
    pa = pandera_polars()
    columns = {"key": pa.Column(str, unique=True), "score": pa.Column(float, nullable=True)}
    return pa.DataFrameSchema(columns, strict=True, name="imported scores")


def by_pandera(frame: pl.DataFrame, schema: Any) -> str:
    """The message that pandera's findings make; empty where it finds nothing."""
    try:
        schema.validate(frame, lazy=True)
    except pandera_polars().errors.SchemaErrors as error:
        counts: dict[str, int] = {}
        for column, check in error.failure_cases.select("column", "check").iter_rows():
            label = f"{column}: {check}"
            counts[label] = counts.get(label, 0) + 1
        found = "; ".join(f"{label} ({count})" for label, count in sorted(counts.items()))
        return f"{schema.name} are not valid: {found}"
    return ""


def by_us(work: Any) -> str:
    try:
        work()
    except StageError as error:
        return str(error)
    return ""


SCORE = st.none() | st.sampled_from([0.0, 2.5, 5.0, 5.5, -0.1, math.nan, math.inf, -math.inf])
GRADE = st.tuples(
    st.integers(1, 6),
    st.sampled_from(["a" * 16, "b" * 32, "short", "é" * 15, "🎉" * 16]),
    SCORE,
    st.none() | st.sampled_from(["out of scale", ""]),
    st.none() | st.sampled_from(["5", "4\n\x00 it's \u2028 🎉"]),
)


@settings(max_examples=examples(60), deadline=None, suppress_health_check=QUIET)
@given(st.lists(GRADE, max_size=6))
def test_grades_are_what_pandera_says(tmp_path_factory: pytest.TempPathFactory, given: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("grades")
    parts = GradeParts("g", folder, LOW, HIGH)
    for n, row_id, score, reason, reply in given:
        parts.add(n, row_id, Grade(score, reason, reply=reply))
    frame = pl.DataFrame([("g", *row) for row in given], schema=GRADES, orient="row")

    assert by_us(parts.write) == by_pandera(frame, grades_schema())
    if written := sorted(folder.glob("*.parquet")):
        assert pl.read_parquet(written[0]).equals(frame)
        assert pl.read_parquet(written[0]).schema == frame.schema


def wrong_keys(given: list[Any]) -> str:
    """What is said of keys that are there several times, the first three, and of rows without one."""
    counts = Counter(key for key, _ in given)
    missing = counts.pop(None, 0)
    again = [f"'{key}' {count} times" for key, count in sorted(counts.items()) if count > 1]
    parts = [f"the key {', '.join(again[:3])}{', …' if again[3:] else ''}"] if again else []
    return "; ".join([*parts, *([f"no key in {missing} {'row' if missing == 1 else 'rows'}"] if missing else [])])


@settings(max_examples=examples(40), deadline=None, suppress_health_check=QUIET)
@given(st.lists(st.tuples(st.none() | st.sampled_from(["a", "b", "", "é"]), SCORE), max_size=6))
def test_imported_scores_are_what_pandera_says(tmp_path_factory: pytest.TempPathFactory, given: list[Any]) -> None:
    path = tmp_path_factory.mktemp("scores") / "scores.parquet"
    frame = pl.DataFrame(given, schema=SCORES, orient="row")
    frame.write_parquet(path.with_name("given.parquet"))
    with viewing({"source": path.with_name("given.parquet")}) as engine:
        said = by_us(lambda: write_imported(engine, "SELECT * FROM source", path, "t.csv"))
        # NaN is above every number: a query must not take it for one on the scale.
        high = engine.facts(f"SELECT COUNT(*) AS rows FROM read_parquet('{path}') WHERE score > 5")[0]["rows"]

    wanted = by_pandera(frame, imported_schema())
    assert said == (f"t.csv: {wanted}: {wrong_keys(given)}" if wanted else "")
    assert pl.read_parquet(path).equals(frame)
    assert high == sum(score is not None and not score <= 5 for _, score in given)


def test_each_file_holds_what_came_since_the_last(tmp_path: Path) -> None:
    parts = GradeParts("g", tmp_path / "new", LOW, HIGH)
    parts.write()
    for n in (1, 2):
        parts.add(n, "a" * 16, Grade(4.0, None))
        assert len(parts) == 1
        parts.write()
    parts.write()
    found = {path.name: pl.read_parquet(path)["n"].to_list() for path in (tmp_path / "new").iterdir()}
    assert found == {"000001.parquet": [], "000002.parquet": [1], "000003.parquet": [2]}


@pytest.mark.parametrize("off", ["false", "False", "0"])
def test_validation_that_is_switched_off_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: str) -> None:
    monkeypatch.setenv("PANDERA_VALIDATION_ENABLED", off)
    for use in (lambda: GradeParts("g", tmp_path, LOW, HIGH), pandera_polars):
        with pytest.raises(MachineError, match="PANDERA_VALIDATION_ENABLED is off"):
            use()


WITHOUT_FRAMES = """
import sys
for package in ("polars", "pandera", "pandas", "pyarrow"):
    sys.modules[package] = None
import alpaqual
run = alpaqual.run("recipe.yaml")
print(run.results["graders"]["t"]["scored"], run.results["graders"]["m"]["unscored"], len(run.datasets["d"]))
"""


@pytest.mark.slow
def test_a_run_needs_no_frames(tmp_path: Path) -> None:
    """Imported scores and a model's grades, in a process that cannot import polars, pandera, pandas or pyarrow."""
    (tmp_path / "d.jsonl").write_text('{"uid": "u0", "instruction": "q", "output": "a"}\n')
    (tmp_path / "t.csv").write_text("uid,s\nu0,4\n")
    (tmp_path / "none.jsonl").write_text("")
    (tmp_path / "recipe.yaml").write_text(
        "version: 1\nname: trial\nsources: [{path: d.jsonl}]\n"
        "graders: {t: {table: t.csv, key: uid, score: s}, m: {model: recorded/none.jsonl}}\n"
        "datasets: {d: {threshold: {t: 4}}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_FRAMES], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "1 1 1\n"), done.stderr


@pytest.mark.parametrize("lacking", ["polars", "pandera"])
def test_frames_that_are_not_installed_say_what_to_install(lacking: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == lacking else found(name))
    with pytest.raises(MachineError, match=rf"this needs {lacking}: pip install 'alpaqual\[notebook\]'"):
        pandera_polars()
