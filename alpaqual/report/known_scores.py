"""Texts and numbers about scores that people gave, which the Markdown and the HTML report share; both escape them when they write."""

from __future__ import annotations

from alpaqual.report.graders import Confusion
from alpaqual.results.graders import CalibrationResult, GoldenResult

PEOPLE = "people"
LEVEL_HEADS = ("people's score", "rows", "scored", "mean score", "bias")
"""Columns of the table of levels."""
LEVELS_MEANING = "Bias: the grader's score less people's, on average over the scored rows."


def golden_sentence(name: str, golden: GoldenResult, *, calibrated: bool = False) -> str:
    """Return how the scores of a grader, before its calibration, agree with people's, in one to three sentences."""
    right = golden.rows - golden.wrong
    scored = "" if golden.scored == golden.rows else f", {golden.rows - golden.scored:,} of them without a score"
    text = f"Of {golden.rows:,} rows of {golden.file}{scored}, {name}{' before its calibration' if calibrated else ''} scores {right:,} ({right / golden.rows * 100:.1f}%) within {golden.within:g} of people's score."
    found = [
        f"{what} {value:.2f}"
        for what, value in (
            ("Spearman's rank correlation", golden.spearman),
            ("quadratic weighted kappa", golden.kappa),
        )
        if value is not None
    ]
    text += f" Agreement: {', '.join(found)}." if found else ""
    if golden.bias is None or golden.mean_error is None:
        return text
    side = (
        f"{abs(golden.bias):.2f} {'above' if golden.bias > 0 else 'below'}" if round(golden.bias, 2) else "as high as"
    )
    return f"{text} Its scores are {side} people's on average; the mean error is {golden.mean_error:.2f}."


def level_rows(golden: GoldenResult) -> list[tuple[float, int, int, float | None, float | None]]:
    """Return each level of people's scores, the highest first: level, rows, scored rows, mean score, bias."""
    return [
        (each.level, each.rows, each.scored, each.mean, each.bias)
        for each in sorted(golden.levels, key=lambda each: -each.level)
    ]


def signed(value: float | None) -> str:
    """Return a difference with its sign; a dash where there is none."""
    return "–" if value is None else f"{round(value, 2) + 0.0:+.2f}".replace("+0.00", "0.00").replace("-", "−")


def golden_confusion(name: str, golden: GoldenResult) -> Confusion | None:
    """Return golden rows by people's score and the grader's; None where no row has both."""
    cells = {(cell.other, cell.score): cell.rows for cell in golden.confusion if cell.rows}
    if not cells:
        return None
    scores = tuple(sorted({score for pair in cells for score in pair}))
    rows, same = sum(cells.values()), sum(rows for (known, score), rows in cells.items() if known == score)
    sentence = f"The grader gave {same:,} of {rows:,} rows ({same / rows * 100:.1f}%) people's score."
    return Confusion(PEOPLE, name, scores, cells, sentence)


MAP_HEADS = ("score of the grader", "rows that people scored", "people's mean", "calibrated")
"""Columns of the table of a map."""


def calibration_sentence(name: str, found: CalibrationResult) -> str:
    """Return what a calibration was fitted on and the errors that it leaves."""
    text = f"{name} is mapped to people's scores by isotonic regression on {found.rows:,} scores of {found.file}"
    if found.unscored:
        text += f" ({found.unscored:,} more are of rows without a score of the grader)"
    return (
        f"{text}. Mean error: {found.raw_error:.2f} before, {found.held_out_error:.2f} after on rows that the map was not fitted on "
        f"(each of {found.folds} parts by a map of the others), {found.fitted_error:.2f} on those that it was fitted on."
    )


def threshold_sentences(name: str, found: CalibrationResult) -> list[str]:
    """Return where each threshold is on both scales."""
    sentences = []
    for each in found.thresholds:
        keeps = "no row" if each.raw is None else f"rows that {name} gave {each.raw:g} or more"
        sentences.append(
            f"The threshold {each.threshold:g} of {each.dataset} is a score on people's scale: it keeps {keeps}."
        )
    return sentences


def map_rows(found: CalibrationResult) -> list[tuple[float, int, float | None, float]]:
    """Return each raw score, the highest first: rows of people's file, the mean of people's scores, what it is mapped to."""
    return [(each.raw, each.rows, each.mean, each.score) for each in reversed(found.levels)]
