"""Shows the top of the page: the verdict, the rows that each dataset keeps, and the reasons."""

from __future__ import annotations

from alpaqual.report.evaluation_line import evaluation_line
from alpaqual.report.markup import NOTHING, Child, Html, badge, count, folded, join, named, note, tag
from alpaqual.report.report import Report
from alpaqual.results.results import Reason
from alpaqual.values import State

_MOST_REASONS = 20
_MOST_DATASETS = 8


def verdict_section(report: Report) -> Html:
    """Return the verdict first, then the reasons for it."""
    recipe = report.results.recipe
    name = join([named(recipe.name), " · "]) if recipe.title else ""
    subtitle = tag("p", name, "recipe ", tag("code", recipe.file), class_="subtitle")
    line = [badge(report.verdict), " ", tag("span", report.headline, class_="headline")]
    verdict = tag("p", *line, class_=f"verdict {report.verdict}")
    needed = note(
        "The charts, the threshold slider and the filters of this page need JavaScript; all tables are complete without it."
    )
    return join(
        [
            tag("h1", report.title),
            subtitle,
            verdict,
            _kept(report),
            _evaluated(report),
            _reasons(report),
            tag("noscript", needed),
        ]
    )


def _kept(report: Report) -> Html:
    """Return the rows that each dataset keeps."""
    datasets = report.results.datasets
    if datasets:
        kept = [join([named(name), f" keeps {count(each.rows)}"]) for name, each in datasets.items()]
        end = ", …" if len(kept) > _MOST_DATASETS else "."
        total = f"Of {count(report.results.source.rows)} rows: "
        return tag("p", total, join(kept[:_MOST_DATASETS], ", "), end)
    if report.verdict is State.ERROR:
        return tag("p", "The run ended before a dataset was selected: there is nothing else to report.")
    if report.verdict is State.INCOMPLETE:
        return tag("p", "The run was stopped before a dataset was selected: the sections below show what it reached.")
    return NOTHING


def _evaluated(report: Report) -> Html:
    """Return what the evaluation found, in one line."""
    said = evaluation_line(report.results)
    return tag("p", "Evaluation: ", tag("span", said, class_="said"), ".") if said else NOTHING


def _reasons(report: Report) -> Html:
    items = [_reason(reason) for reason in report.results.reasons]
    if not items:
        return NOTHING
    shown, more = tag("ul", *items[:_MOST_REASONS], class_="reasons"), items[_MOST_REASONS:]
    return join([shown, folded(f"{count(len(more))} more", tag("ul", *more, class_="reasons")) if more else ""])


def _reason(reason: Reason) -> Html:
    place: Child = join([" ", tag("code", reason.place, class_="place")]) if reason.place else ""
    return tag("li", badge(reason.state), " ", tag("span", reason.text, class_="said"), place)
