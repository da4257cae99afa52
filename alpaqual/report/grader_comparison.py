"""Writes a comparison of two graders, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from alpaqual.amounts import dollars
from alpaqual.report.escape import code, markdown, plain_markdown, visible
from alpaqual.report.markdown_parts import folded, table
from alpaqual.results.comparison import ComparedGrader, GraderComparison, Sides

_BAR = 24
_TEXT = 160

Lines = list[tuple[str, str, str]]


def names(found: GraderComparison) -> tuple[str, str]:
    """Return what the two are called: by their graders, and by their runs where these have one name."""
    first, second = found.first, found.second
    if first.grader != second.grader:
        return first.grader, second.grader
    return f"{first.grader} of {first.run}", f"{second.grader} of {second.run}"


def to_text(found: GraderComparison) -> str:
    """Return the comparison for a terminal."""
    first, second = map(_line, names(found))
    parts = [f"A: {first}\nB: {second}", _columns([("", "A", "B"), *_graders(found)]), _coefficients(found)]
    parts.append(_columns([("share of scale", "A", "B", "A ▓ B ░"), *_bars(found)]))
    if found.sides is None:
        parts.append(f"{_NO_THRESHOLD} --threshold gives one.")
    else:
        parts += [*_sides(found.sides), *_text_rows(found.sides)]
    return "\n\n".join(parts) + "\n"


def to_markdown(found: GraderComparison) -> str:
    """Return the comparison as GitHub-flavoured Markdown."""
    first, second = (plain_markdown(name) for name in names(found))
    rows = [
        [name, *(markdown(cell, 120) if name in _WORDS else cell for cell in cells)] for name, *cells in _graders(found)
    ]
    bars = [[share, one, two, bar] for share, one, two, bar in _bars(found)]
    parts = [
        f"### Graders: {first} (A) and {second} (B)\n",
        table(["", "A", "B"], rows),
        f"{_coefficients(found)}\n",
        folded("Scores by share of the scale", table(["share of scale", "A", "B", "A ▓ B ░"], bars, words=(0, 3))),
    ]
    if found.sides is None:
        parts.append(f"{_NO_THRESHOLD}\n")
    else:
        parts += [f"{sentence}\n" for sentence in _sides(found.sides)]
        if found.sides.rows:
            body = [
                [
                    code(row.own_id or row.id),
                    f"{row.first:g}",
                    f"{row.second:g}",
                    markdown(row.instruction or "", _TEXT),
                    markdown(row.response or "", _TEXT),
                ]
                for row in found.sides.rows
            ]
            changed = table(["row", "A", "B", "instruction", "response"], body, words=(0, 3, 4))
            parts.append(folded("Rows that change sides", changed))
    return "\n".join(parts)


_WORDS = ("run", "scores from", "from")
_NO_THRESHOLD = "Neither grader has a threshold, so no row changes sides."


def _graders(found: GraderComparison) -> Lines:
    sides = (found.first, found.second)
    lines = [
        ("run", *(each.run for each in sides)),
        ("scores from", *(each.source + (", calibrated" if each.calibrated else "") for each in sides)),
        ("scale", *map(_scale, sides)),
        ("rows of both", *([f"{found.common:,}"] * 2)),
        ("scored by both", *([f"{found.rows:,}"] * 2)),
        ("scored by this one alone", *(f"{each.scored_alone:,}" for each in sides)),
        ("mean score", *("–" if each.mean is None else f"{each.mean:.2f}" for each in sides)),
        ("threshold", *("–" if each.threshold is None else f"{each.threshold:g}" for each in sides)),
        ("from", *(each.threshold_from or "–" for each in sides)),
        ("keeps", *("–" if each.keeps is None else _part(each.keeps, found.rows) for each in sides)),
        ("calls", *(f"{each.calls:,}" for each in sides)),
        ("cost when new", *(dollars(each.cost_usd) if each.calls else "–" for each in sides)),
    ]
    return [(name, one, two) for name, one, two in lines]


def _scale(each: ComparedGrader) -> str:
    scale = each.scale
    return f"{scale.min:g} to {scale.max:g}" + ("" if scale.step is None else f" by {scale.step:g}")


def _coefficients(found: GraderComparison) -> str:
    """Return how they agree, in sentences."""
    values = (
        ("Pearson's correlation", found.pearson),
        ("Spearman's rank correlation", found.spearman),
        (f"quadratic weighted kappa on {found.levels + 1} levels", found.kappa),
    )
    text = "; ".join(f"{name} {'undefined' if value is None else f'{value:.2f}'}" for name, value in values)
    text = f"Over {found.rows:,} rows: {text}."
    if found.mean_difference is None or found.mean_distance is None:
        return text
    moved, apart = found.mean_difference * 100, found.mean_distance * 100
    side = f"{abs(moved):.1f}% of the scale {'above' if moved > 0 else 'below'}" if round(moved, 1) else "as high as"
    return f"{text} B's scores are {side} A's on average; the mean distance is {apart:.1f}% of the scale."


def _bars(found: GraderComparison) -> list[tuple[str, str, str, str]]:
    most = max((max(bar.first, bar.second) for bar in found.histogram), default=0) or 1
    lines = []
    for bar in found.histogram:
        drawn = "".join(
            sign * (round(rows / most * _BAR) or (1 if rows else 0))
            for sign, rows in (("▓", bar.first), ("░", bar.second))
        )
        lines.append((f"{bar.share * 100:.0f}%", f"{bar.first:,}", f"{bar.second:,}", drawn))
    return lines


def _sides(sides: Sides) -> Iterator[str]:
    rows = sides.both + sides.neither + sides.only_first + sides.only_second
    changed = sides.only_first + sides.only_second
    yield (
        f"{_part(changed, rows)} rows change sides at the thresholds: A alone keeps {sides.only_first:,}, B alone {sides.only_second:,}. "
        f"Both keep {sides.both:,}, neither keeps {sides.neither:,}."
    )


def _text_rows(sides: Sides) -> Iterator[str]:
    for row in sides.rows:
        own = "" if row.own_id is None else f", id {_line(row.own_id)}"
        texts = [
            f"    {name}: {_line(text or '')}"
            for name, text in (("instruction", row.instruction), ("response", row.response))
        ]
        yield "\n".join([f"  row {row.id}{own}: A {row.first:g}, B {row.second:g}", *texts])


def _part(part: int, whole: int) -> str:
    return f"{part:,} ({part / whole * 100:.1f}%)" if whole else f"{part:,}"


def _line(text: str) -> str:
    """Return a text on one line without control characters; cut where it is long."""
    short = visible(" ".join(text.split()))
    return short if len(short) <= _TEXT else f"{short[:_TEXT]}…"


def _columns(lines: Sequence[Sequence[str]]) -> str:
    """Return lines in columns: the first on the left, the last of four on the left too, the others on the right."""
    shown = [[_line(cell) for cell in line] for line in lines]
    widths = [max(len(line[column]) for line in shown) for column in range(len(shown[0]))]
    drawn = []
    for line in shown:
        cells = [
            cell.ljust(width) if column in (0, 3) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        drawn.append("  ".join(cells).rstrip())
    return "\n".join(drawn)
