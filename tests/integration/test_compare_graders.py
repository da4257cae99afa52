"""`alpaqual compare-graders` against oracles of its own, on scales of every kind, of one run and of two."""

from __future__ import annotations

import json
import math
import random
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Project
from scipy.stats import pearsonr, spearmanr

pytestmark = pytest.mark.slow

SCALES: dict[str, tuple[float, float, float | None]] = {
    "five": (0, 5, 0.5),
    "ten": (1, 10, 1),
    "hundred": (0, 100, 1),
    "smooth": (-1, 1, None),
}


def rows() -> list[dict[str, Any]]:
    """Rows with a score of each scale, each with its own noise; some are missing."""
    chance = random.Random(11)
    found = []
    for index in range(150):
        quality, row = chance.random(), {"instruction": f"q{index} | <b>", "output": f"::warning::a{index}"}
        for name, (low, high, step) in SCALES.items():
            share = min(1.0, max(0.0, quality + chance.gauss(0, 0.15)))
            score = low + share * (high - low)
            row[name] = score if step is None else low + round((score - low) / step) * step
            if chance.random() < 0.1:
                row[name] = None
        found.append(row)
    return found


def ask(project: Project, name: str = "trial", more: str = "", datasets: str = "{all: {}}") -> None:
    graders = ", ".join(
        f"{grader}: {{column: {grader}, scale: {{min: {low:g}, max: {high:g}{'' if step is None else f', step: {step:g}'}}}}}"
        for grader, (low, high, step) in SCALES.items()
    )
    project.ask("d.jsonl", f"graders: {{{graders}{more}}}", datasets=datasets)
    project.recipe.write_text(project.recipe.read_text().replace("name: trial", f"name: {name}"))


def compared(project: Project, *words: str | Path) -> dict[str, Any]:
    done = project.command("compare-graders", *words, "--format", "json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def kappa(one: list[int], two: list[int], levels: int) -> float:
    observed = np.zeros((levels + 1, levels + 1))
    for pair in zip(one, two, strict=True):
        observed[pair] += 1
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / observed.sum()
    weights = np.subtract.outer(np.arange(levels + 1), np.arange(levels + 1)) ** 2
    return 1 - float((weights * observed).sum() / (weights * expected).sum())


def test_measures_are_those_of_the_oracles_on_every_pair_of_scales(project: Project) -> None:
    data = rows()
    project.jsonl("d.jsonl", data)
    ask(project, datasets="{good: {threshold: {five: 3.5}}, better: {threshold: {five: 4}}}")
    run = project.run()
    for first, second in combinations(SCALES, 2):
        found = compared(project, run.folder, "--grader", first, "--with", second, "--examples", "1000")
        both = [row for row in data if row[first] is not None and row[second] is not None]
        shares = [
            [(row[name] - SCALES[name][0]) / (SCALES[name][1] - SCALES[name][0]) for row in both]
            for name in (first, second)
        ]
        assert (found["common"], found["rows"]) == (150, len(both))
        alone = sum(row[first] is not None and row[second] is None for row in data)
        assert found["first"]["scored_alone"] == alone
        assert found["pearson"] == pytest.approx(pearsonr(*shares).statistic, abs=1e-6)
        assert found["spearman"] == pytest.approx(spearmanr(*shares).statistic, abs=1e-6)
        sizes = [(SCALES[name][1] - SCALES[name][0], SCALES[name][2]) for name in (first, second)]
        steps = [round(size / step) for size, step in sizes if step is not None]
        levels = min(steps, default=10)
        assert found["levels"] == levels
        cut = [[math.floor(round(share * levels, 6) + 0.5) for share in side] for side in shares]
        assert found["kappa"] == pytest.approx(kappa(*cut, levels), abs=2e-6)
        apart = [two - one for one, two in zip(*shares, strict=True)]
        assert found["mean_difference"] == pytest.approx(sum(apart) / len(apart), abs=1e-6)
        assert found["mean_distance"] == pytest.approx(sum(map(abs, apart)) / len(apart), abs=1e-6)
        bars = levels if levels <= 20 else 10
        for side, values in zip(("first", "second"), shares, strict=True):
            at = [math.floor(round(share * bars, 6) + 0.5) for share in values]
            assert [bar[side] for bar in found["histogram"]] == [at.count(bar) for bar in range(bars + 1)]
        if first != "five":
            assert found["sides"] is None and found["first"]["threshold"] is None
            continue
        low, high, _ = SCALES[second]
        moved = low + 0.7 * (high - low)
        assert (found["first"]["threshold"], found["first"]["threshold_from"]) == (3.5, "dataset good")
        assert found["second"]["threshold"] == pytest.approx(moved)
        up = {row["instruction"] for row in both if row[first] < 3.5 and row[second] >= round(moved, 6)}
        down = {row["instruction"] for row in both if row[first] >= 3.5 and row[second] < round(moved, 6)}
        sides = found["sides"]
        assert (sides["only_first"], sides["only_second"]) == (len(down), len(up))
        assert {row["instruction"] for row in sides["rows"]} == up | down
        assert sides["both"] + sides["neither"] + len(up) + len(down) == len(both)


def test_two_runs_are_compared_by_row_ids(project: Project) -> None:
    data = rows()
    project.jsonl("d.jsonl", data)
    ask(project, "one")
    project.run()
    # Other rows before them, and another order: an id stays with its row.
    changed = [{**row, "five": min(5, (row["five"] or 0) + 0.5)} for row in data[:100]]
    project.jsonl("d.jsonl", [{"instruction": "new", "output": "r", "five": 1}, *reversed(changed)])
    ask(project, "two", datasets="{good: {threshold: {five: 4}}}")
    project.run()
    found = compared(project, "runs/one", "runs/two", "--grader", "five", "--threshold", "4.5")
    assert (found["common"], found["first"]["run"], found["second"]["run"]) == (100, "runs/one", "runs/two")
    assert found["first"]["threshold_from"] == "--threshold"
    assert (found["second"]["threshold"], found["second"]["threshold_from"]) == (4, "dataset good")
    assert 0 < found["mean_difference"] < 0.1 and found["spearman"] > 0.99
    text = project.command("compare-graders", "runs/one", "runs/two", "--grader", "five").stdout
    assert "A: five of runs/one" in text and "B: five of runs/two" in text


def test_text_and_markdown_show_rows_as_text(project: Project) -> None:
    project.jsonl("d.jsonl", rows())
    ask(project, datasets="{good: {threshold: {five: 3}}}")
    project.run()
    words = ("compare-graders", "runs/trial", "--grader", "five", "--with", "hundred")
    text = project.command(*words, "--examples", "2").stdout
    assert "rows change sides at the thresholds" in text and "quadratic weighted kappa on 11 levels" in text
    assert text.count("  row ") == 4
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    project.command(*words, "--format", "md", "-o", "out.md")
    page = (project.folder / "out.md").read_text(encoding="utf-8")
    assert "### Graders: five (A) and hundred (B)" in page and "<b>" not in page
    assert "| threshold | 3 | 60 |" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--grader: name the grader; there are: five, ten, hundred, smooth"),
        (("--grader", "fife", "--with", "ten"), "no scores of a grader 'fife', did you mean 'five'?"),
        (
            ("--grader", "five", "--with", "five"),
            "--with: 'five' is the same grader: name another one, or a second run",
        ),
        (("--grader", "five", "--with", "ten", "--threshold", "6"), "--threshold: 6 is off the scale 0 to 5 of five"),
        (("--grader", "five"), "--with: name the grader"),
    ],
)
def test_what_cannot_be_compared_is_refused(project: Project, words: tuple[str, ...], said: str) -> None:
    project.jsonl("d.jsonl", rows()[:20])
    ask(project)
    project.run()
    done = project.command("compare-graders", "runs/trial", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_runs_without_a_common_row_and_folders_without_a_run_are_refused(project: Project) -> None:
    project.jsonl("d.jsonl", rows()[:20])
    ask(project, "one")
    project.run()
    project.jsonl("d.jsonl", [{**row, "instruction": "other " + row["instruction"]} for row in rows()[:20]])
    ask(project, "two")
    project.run()
    done = project.command("compare-graders", "runs/one", "runs/two", "--grader", "five")
    assert done.returncode == 2 and "no row is in both runs" in done.stderr
    assert project.command("compare-graders", "runs/one", "runs/none", "--grader", "five").returncode == 2
    (project.folder / "runs" / "two" / "tables" / "grades.parquet").unlink()
    gone = project.command("compare-graders", "runs/one", "runs/two", "--grader", "five")
    assert gone.returncode == 4 and "grades.parquet is gone" in gone.stderr
