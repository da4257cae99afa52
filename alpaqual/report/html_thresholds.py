"""Shows what each threshold keeps, with a slider that shows what another would keep."""

from __future__ import annotations

from alpaqual.report.charts import histogram
from alpaqual.report.html_balance import DIFFERENCE
from alpaqual.report.html_categories import MOST_LISTED
from alpaqual.report.html_charts import Charts, histogram_figure
from alpaqual.report.html_datasets import selects
from alpaqual.report.html_what_if import Group, WhatIf, what_if
from alpaqual.report.markup import (
    NOTHING,
    Child,
    Html,
    count,
    difference,
    join,
    named,
    note,
    percent,
    plain,
    scrolling,
    tag,
)
from alpaqual.results.datasets import DatasetResult
from alpaqual.results.results import Results

_MOVED: dict[str, str | bool] = {"class_": "needs-script moved", "hidden": True}
"""Cells that the script fills."""


def thresholds_section(results: Results, charts: Charts) -> Html:
    """Return a slider for each dataset that has one threshold."""
    parts = []
    for name, dataset in results.datasets.items():
        if (found := what_if(dataset, results.graders, MOST_LISTED)) is not None:
            scale = results.graders[found.grader].scale
            spec = histogram(
                dataset.scores, scale, title=plain(f"score of {found.grader}"), threshold=found.stops[found.start]
            )
            parts.append(_slider(name, dataset, found, charts, charts.add(spec)))
    if not parts:
        return NOTHING
    meaning = (
        "What another threshold would keep, counted from every row's score. Quotas and samples are not applied: to see those, "
        "change the recipe and run it again. Keep rate minus overall is in percentage points, compared with all rows."
    )
    return join([note(meaning), *parts])


def _slider(name: str, dataset: DatasetResult, found: WhatIf, charts: Charts, chart: str) -> Html:
    ident = f"threshold-{len(charts.thresholds)}"
    groups = [{"eligible": group.eligible, "kept": group.kept} for group in found.groups]
    charts.thresholds.append(
        {"id": ident, "chart": chart, "stops": found.stops, "start": found.start, "groups": groups}
    )
    figure = histogram_figure(chart, join([named(name), ": ", selects(dataset)]), dataset.scores)
    moving = tag("div", _control(ident, found), _what_if_table(ident, name, found))
    return tag("article", figure, moving, class_="what-if")


def _control(ident: str, found: WhatIf) -> Html:
    own, last = f"{found.stops[found.start]:g}", len(found.stops) - 1
    return tag(
        "div",
        tag("label", "What another threshold would keep", for_=ident),
        tag("output", f"≥ {own}", for_=ident, id=f"{ident}-value"),
        tag("input", type="range", id=ident, min=0, max=last, step=1, value=found.start, disabled=last < 1),
        tag("button", f"back to {own}", type="button", id=f"{ident}-back", disabled=True),
        class_="control needs-script",
        hidden=True,
    )


def _what_if_table(ident: str, name: str, found: WhatIf) -> Html:
    """Return what the recipe's threshold keeps of each group, beside what the slider's would keep."""
    head = _what_if_head(ident, f"≥ {found.stops[found.start]:g}")
    whole, *rows = [_what_if_row(group, found) for group in found.groups]
    content = tag("table", head, tag("tbody", whole, class_="whole"), tag("tbody", *rows), id=f"{ident}-table")
    return scrolling(content, f"What another threshold of {name} would keep", rows=len(found.groups))


def _what_if_head(ident: str, own: str) -> Html:
    moved = ["slider's threshold, ", tag("span", own, id=f"{ident}-head")]
    over = [
        tag("th", "", scope="col", rowspan=2, class_="word"),
        tag("th", "rows", scope="col", rowspan=2),
        tag("th", f"recipe's threshold, {own}", scope="colgroup", colspan=3, class_="recipe"),
        tag("th", *moved, scope="colgroup", colspan=4, **_MOVED),
    ]
    under = [tag("th", title, scope="col", class_="recipe") for title in ("kept", "keep rate", DIFFERENCE)]
    under += [tag("th", title, scope="col", **_MOVED) for title in ("kept", "keep rate", DIFFERENCE, "change")]
    return tag("thead", tag("tr", *over), tag("tr", *under))


def _what_if_row(group: Group, found: WhatIf) -> Html:
    whole, start = found.groups[0], found.start
    kept = group.kept[start]
    apart = "" if group is whole else difference(kept, group.eligible, whole.kept[start], whole.eligible)
    cells: list[Child] = [count(kept), percent(kept, group.eligible), apart]
    return tag(
        "tr",
        tag("th", group.label, scope="row", class_="word"),
        tag("td", count(group.eligible)),
        *(tag("td", cell, class_="recipe") for cell in cells),
        *(tag("td", cell, **_MOVED) for cell in (*cells, "0")),
    )
