"""Writes in Markdown how graders' scores agree with those that people gave."""

from __future__ import annotations

from alpaqual.report.escape import plain_markdown
from alpaqual.report.graders import Graders
from alpaqual.report.known_scores import (
    LEVEL_HEADS,
    LEVELS_MEANING,
    MAP_HEADS,
    calibration_sentence,
    golden_confusion,
    golden_sentence,
    level_rows,
    map_rows,
    signed,
    threshold_sentences,
)
from alpaqual.report.markdown_graders import confusion_block
from alpaqual.report.markdown_parts import MOST_LISTED, count, folded, table
from alpaqual.results.graders import CalibrationResult, GoldenResult, GraderResult

_LONGEST = 1_000
"""Characters of a sentence: names are cut, and the numbers behind them stay."""


def known_scores(graders: Graders) -> str:
    """Return each grader's agreement with people: coefficients, its bias at each level, and the rows by both scores."""
    parts = [_golden(name, grader, grader.golden) for name, grader in graders.items() if grader.golden is not None]
    parts += [_calibration(name, each.calibration) for name, each in graders.items() if each.calibration is not None]
    return "### Scores by people\n\n" + "\n".join(parts) if parts else ""


def _calibration(name: str, found: CalibrationResult) -> str:
    sentences = [calibration_sentence(name, found), *threshold_sentences(name, found)]
    body = [
        [f"{raw:g}", count(rows), "–" if mean is None else f"{mean:.2f}", f"{score:.2f}"]
        for raw, rows, mean, score in map_rows(found)[:MOST_LISTED]
    ]
    summary = plain_markdown(f"Calibrated scores of {name}")
    return "".join(f"{plain_markdown(each, _LONGEST)}\n\n" for each in sentences) + folded(
        summary, table(MAP_HEADS, body, words=())
    )


def _golden(name: str, grader: GraderResult, golden: GoldenResult) -> str:
    body = [
        [f"{level:g}", count(rows), count(scored), "–" if mean is None else f"{mean:.2f}", signed(bias)]
        for level, rows, scored, mean, bias in level_rows(golden)[:MOST_LISTED]
    ]
    levels = table(LEVEL_HEADS, body, words=())
    said = golden_sentence(name, golden, calibrated=grader.calibration is not None)
    summary = plain_markdown(f"Scores of {name} at each level of people's")
    parts = [f"{plain_markdown(said, _LONGEST)}\n", folded(summary, f"{levels}\n{LEVELS_MEANING}\n")]
    found = golden_confusion(name, golden)
    return "\n".join([*parts, *([confusion_block(found)] if found is not None else ())])
