"""What reports say of scores by people and of calibrations, and of two graders that are compared; hostile names stay text."""

from __future__ import annotations

import re
from typing import Any

import pytest
from found import found
from found import report as made
from hostile_report import EVIL, parsed

from alpaqual.report.grader_comparison import to_markdown as comparison_markdown
from alpaqual.report.grader_comparison import to_text
from alpaqual.report.graders import scores_from
from alpaqual.report.html_charts import Charts
from alpaqual.report.html_graders import graders_section
from alpaqual.report.html_known_scores import known_scores_section
from alpaqual.report.known_scores import calibration_sentence, golden_sentence, signed, threshold_sentences
from alpaqual.report.markdown import to_markdown
from alpaqual.results.comparison import GraderComparison
from alpaqual.results.graders import CalibrationResult, GoldenResult, GraderResult

SCALE = {"min": 0.0, "max": 5.0, "step": 0.5}
GOLDEN: dict[str, Any] = {
    "file": "people.jsonl",
    "within": 0.5,
    "rows": 10,
    "scored": 8,
    "wrong": 4,
    "mean_error": 0.75,
    "bias": -0.5,
    "spearman": 0.8123,
    "kappa": None,
    "levels": [
        {"level": 1.0, "rows": 4, "scored": 2, "mean": 1.0, "bias": 0.0},
        {"level": 4.0, "rows": 6, "scored": 6, "mean": 3.33, "bias": -0.67},
        {"level": 5.0, "rows": 1, "scored": 0, "mean": None, "bias": None},
    ],
    "confusion": [
        {"score": 1.0, "other": 1.0, "rows": 2},
        {"score": 3.0, "other": 4.0, "rows": 4},
        {"score": 4.0, "other": 4.0, "rows": 2},
    ],
}
CALIBRATION: dict[str, Any] = {
    "file": "people.jsonl",
    "rows": 60,
    "unscored": 3,
    "folds": 10,
    "raw_error": 0.98,
    "fitted_error": 0.4,
    "held_out_error": 0.51,
    "levels": [
        {"raw": 0.0, "score": 1.0, "rows": 0, "mean": None},
        {"raw": 4.5, "score": 3.25, "rows": 60, "mean": 3.2},
    ],
    "knots": [{"raw": 2.0, "score": 1.0}, {"raw": 4.5, "score": 3.25}],
    "thresholds": [
        {"dataset": "good", "threshold": 3.0, "raw": 4.5},
        {"dataset": "best", "threshold": 4.0, "raw": None},
    ],
}


def pages(name: str, **grader: Any) -> tuple[str, str]:
    report = made({"graders": {name: {"scale": SCALE, "source": "a model", **grader}}})
    graders = graders_section(report.results, Charts())
    return to_markdown(report), f"{graders}{known_scores_section(report.results, Charts())}"


def test_golden_rows_are_summed_up() -> None:
    text = golden_sentence("mine", found(GoldenResult, **GOLDEN))
    assert text == (
        "Of 10 rows of people.jsonl, 2 of them without a score, mine scores 6 (60.0%) within 0.5 of people's score. Agreement: "
        "Spearman's rank correlation 0.81. Its scores are 0.50 below people's on average; the mean error is 0.75."
    )
    exact = golden_sentence("mine", found(GoldenResult, **{**GOLDEN, "bias": 0.001, "scored": 10}))
    assert "Its scores are as high as people's on average" in exact and "without a score" not in exact
    nothing = {**GOLDEN, "scored": 0, "wrong": 10, "mean_error": None, "bias": None, "spearman": None}
    assert golden_sentence("mine", found(GoldenResult, **nothing)).endswith(
        "mine scores 0 (0.0%) within 0.5 of people's score."
    )


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.5, "+0.50"), (-0.5, "−0.50"), (-0.001, "0.00"), (0.0, "0.00")]
)
def test_a_bias_has_its_sign(value: float | None, text: str) -> None:
    assert signed(value) == text


def test_tables_of_levels_and_of_both_scores_are_in_the_reports() -> None:
    markdown, page = pages("mine", golden=GOLDEN)
    assert "| 4 | 6 | 6 | 3.33 | −0.67 |" in markdown and "| 5 | 1 | 0 | – | – |" in markdown
    assert "people ↓ mine →" in markdown and "The grader gave 4 of 8 rows (50.0%) people" in markdown
    parsed(page)
    assert "against people" in page and "−0.67" in page


def test_a_calibration_names_its_errors_and_thresholds() -> None:
    calibration = found(CalibrationResult, **CALIBRATION)
    assert calibration_sentence("mine", calibration) == (
        "mine is mapped to people's scores by isotonic regression on 60 scores of people.jsonl (3 more are of rows without a score "
        "of the grader). Mean error: 0.98 before, 0.51 after on rows that the map was not fitted on (each of 10 parts by a map of "
        "the others), 0.40 on those that it was fitted on."
    )
    assert threshold_sentences("mine", calibration) == [
        "The threshold 3 of good is a score on people's scale: it keeps rows that mine gave 4.5 or more.",
        "The threshold 4 of best is a score on people's scale: it keeps no row.",
    ]
    markdown, page = pages("mine", calibration=CALIBRATION, golden=GOLDEN)
    assert "| 4.5 | 60 | 3.20 | 3.25 |" in markdown and "| 0 | 0 | – | 1.00 |" in markdown
    assert "mine before its calibration scores 6" in markdown and "mine before its calibration scores 6" in page
    grader = found(GraderResult, source="a model", models=["a model"], calibration=CALIBRATION)
    assert scores_from(grader) == "a model, calibrated by people.jsonl"


def test_hostile_names_stay_text() -> None:
    golden, calibration = {**GOLDEN, "file": EVIL}, {**CALIBRATION, "file": EVIL}
    calibration["thresholds"] = [{"dataset": EVIL, "threshold": 3.0, "raw": 4.5}]
    markdown, page = pages(EVIL, golden=golden, calibration=calibration)
    assert "<script>window" not in markdown and "<img" not in markdown
    parsed(page)
    assert "<script>window" not in page and "<img" not in page


SIDE: dict[str, Any] = {
    "run": "runs/a",
    "grader": "g",
    "source": "s",
    "scale": SCALE,
    "calibrated": True,
    "mean": 3.0,
    "scored_alone": 1,
    "threshold": 4.0,
    "threshold_from": "dataset good",
    "keeps": 3,
    "calls": 20,
    "cost_usd": 0.5,
}


def test_a_comparison_shows_hostile_texts_as_text() -> None:
    row = {
        "id": "0" * 16,
        "own_id": EVIL,
        "first": 1.0,
        "second": 5.0,
        "instruction": f"::error::{EVIL}\n##[x]",
        "response": None,
    }
    sides = {"both": 1, "neither": 2, "only_first": 0, "only_second": 1, "rows": [row]}
    comparison = found(
        GraderComparison,
        first={**SIDE, "grader": EVIL},
        second={**SIDE, "run": EVIL},
        rows=4,
        levels=10,
        mean_difference=0.0,
        mean_distance=0.1,
        sides=sides,
    )
    text, markdown = to_text(comparison), comparison_markdown(comparison)
    assert (
        "\x00" not in text
        and "\u202e" not in text
        and not any(line.lstrip().startswith(("::", "##[")) for line in text.splitlines())
    )
    outside = re.sub("`[^`]*`", "", markdown)
    assert "<script>window" not in outside and "<img" not in outside and "\u202e" not in markdown
    assert "1 (25.0%) rows change sides at the thresholds: A alone keeps 0, B alone 1." in text
    assert "Pearson's correlation undefined" in text and "s, calibrated" in text and "$0.50" in text


def test_without_a_threshold_no_row_changes_sides() -> None:
    bare = {**SIDE, "threshold": None, "threshold_from": None, "keeps": None}
    comparison = found(GraderComparison, first=bare, second={**bare, "grader": "h"}, rows=4, levels=10)
    assert "no row changes sides. --threshold gives one." in to_text(comparison)
    assert "no row changes sides." in comparison_markdown(comparison)
