"""Shows the verdicts of each category and skill: a radar chart, and beside it a table with bars and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from alpaqual.report.evaluation import interval, name, names, own_rule, score, several_judges
from alpaqual.report.markup import NOTHING, Child, Html, count, folded, join, named, note, table, tag
from alpaqual.report.radar import Axis, Outline, Ring, radar
from alpaqual.report.svg import axis, interval_drawing, scale_of, stacked_bar
from alpaqual.results.evaluation import EvaluationResult, GroupVerdicts, PairResult

_OPEN = 4
"""Figures that are shown at once; further ones open from a line."""

_MOST_FIGURES = 40
_FEW_AXES = 14
_RING = Ring(low=0, high=2, mark=1, ticks=(0.5, 1, 1.5, 2))

_MEANING = (
    "The axes of the radar chart run from a winning score of 0 in the centre to 2 at the edge. On the ring at 1 both models are equal; "
    "outside of it the first one wins more often. Lines through the points are 95% intervals."
)
_FEW = "Groups in italics with an open point have too few items to read anything from."


def groups_part(evaluation: EvaluationResult) -> Html:
    """Return a figure for each pair and test set with categories or skills."""
    found = [(pair, kind, groups) for pair in own_rule(evaluation) for kind, groups in _groups(pair)]
    if not found:
        return NOTHING
    judges = several_judges(evaluation)
    figures = [_figure(pair, kind, groups, judges) for pair, kind, groups in found[:_MOST_FIGURES]]
    few = any(group.few for _, _, groups in found for group in groups.values())
    hidden = len(figures) - _OPEN
    more = folded(f"{count(hidden)} more pairs and test sets", *figures[_OPEN:]) if hidden > 0 else NOTHING
    left = len(found) - len(figures)
    rest = note(f"results.json has {count(left)} more.") if left > 0 else NOTHING
    head = tag("h3", "By category and skill")
    return join([head, note(f"{_MEANING} {_FEW}" if few else _MEANING), *figures[:_OPEN], more, rest])


def _groups(pair: PairResult) -> list[tuple[str, Mapping[str, GroupVerdicts]]]:
    kinds = (("category", pair.categories), ("skill", pair.skills))
    return [(kind, groups) for kind, groups in kinds if groups and pair.test_set is not None]


def _figure(pair: PairResult, kind: str, groups: Mapping[str, GroupVerdicts], judges: bool) -> Html:
    by: Child = join([", judged by ", named(name(pair.judge))]) if judges else ""
    title: list[Child] = [named(name(pair.a)), " against ", named(name(pair.b))]
    caption = tag("figcaption", *title, f": {name(pair.test_set or '')} by {kind}", by)
    drawn = _radar(pair, kind, groups)
    numbers = _table(kind, groups, f"{names(pair)} by {kind}")
    if not drawn:
        return tag("figure", caption, numbers, class_="groups")
    box = tag("div", drawn, class_="scroll", tabindex=0, role="region", aria_label=f"Radar chart of {names(pair)}")
    return tag("figure", caption, tag("div", box, numbers, class_=layout(len(groups))), class_="groups")


def layout(axes: int) -> str:
    """Return the class of a radar chart and its table: beside each other where the chart has space enough for its names."""
    return "beside" if axes <= _FEW_AXES else "above"


def _radar(pair: PairResult, kind: str, groups: Mapping[str, GroupVerdicts]) -> Html:
    axes = [Axis(group, found.n, found.few) for group, found in groups.items()]
    outline = Outline(
        [found.winning_score for found in groups.values()],
        [
            f"{group}: {score(found.winning_score)} ({interval(found.interval)}), {found.n} items"
            for group, found in groups.items()
        ],
        [found.interval for found in groups.values()],
    )
    return radar(axes, [outline], _RING, label=f"Winning score of {names(pair)} by {kind}")


def _table(kind: str, groups: Mapping[str, GroupVerdicts], label: str) -> Html:
    scale = scale_of([found.interval for found in groups.values() if found.interval is not None], mark=1.0)
    heads: list[str] = [kind, "items", "", "win / tie / lose", "winning score, 95% interval"]
    heads += [axis(scale)] if scale is not None else []
    body: list[Sequence[Child]] = []
    for group, found in groups.items():
        cells: list[Child] = [tag("em", group) if found.few else group, count(found.n)]
        cells += [stacked_bar(found.win, found.tie, found.lose), f"{found.win:,} / {found.tie:,} / {found.lose:,}"]
        within = "" if found.interval is None else f" ({interval(found.interval)})"
        cells.append(join([tag("strong", score(found.winning_score)), within]))
        if scale is not None:
            cells.append(
                ""
                if found.winning_score is None
                else interval_drawing(
                    scale,
                    found.winning_score,
                    found.interval,
                    label=f"{group}: {score(found.winning_score)}",
                    strong=not found.few,
                )
            )
        body.append(cells)
    return table(heads, body, words=(0, 2, 5) if scale is not None else (0, 2), label=label)
