"""Texts and numbers about scores that people gave, which the Markdown and the HTML report share; both escape them when they write."""

from __future__ import annotations

from alpaqual.report.graders import Confusion
from alpaqual.results.graders import GoldenResult

PEOPLE = "people"
LEVEL_HEADS = ("people's score", "rows", "scored", "mean score", "bias")
"""Columns of the table of levels."""
LEVELS_MEANING = "Bias: the grader's score less people's, on average over the scored rows."


def golden_sentence(name: str, golden: GoldenResult) -> str:
    """Return how the scores of a grader agree with people's, in one to three sentences."""
    right = golden.rows - golden.wrong
    scored = "" if golden.scored == golden.rows else f", {golden.rows - golden.scored:,} of them without a score"
    text = f"Of {golden.rows:,} rows of {golden.file}{scored}, {name} scores {right:,} ({right / golden.rows * 100:.1f}%) within {golden.within:g} of people's score."
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
