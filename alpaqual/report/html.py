"""Report -> HTML: one file that works offline, reads without scripts, and runs no word that came from a row or a model.

Every text that is not markup of this file goes through `text` or `attribute`. A policy in the page's head (CSP) lets run only
the scripts whose hashes it names and forbids every request. Charts need no `unsafe-eval`: vega-embed brings an interpreter
for Vega's expressions, used with `ast: true`.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from alpaqual.errors import MachineError
from alpaqual.report.charts import MOST_CATEGORIES, Spec, WhatIf, balance, balanced, histogram, what_if
from alpaqual.report.report import Report
from alpaqual.values import ROW_FIELDS, Fate, State

_ASSETS = Path(__file__).parent / "assets"
_MOST_REASONS = 20
_FEW = 4
"""Bars that would be absurdly wide across the page."""
_TALL = 16
"""Rows of a table that scrolls under its own head when it has more."""
_MOST_CATEGORIES = 200
"""Categories in a table; results.json has the rest."""

_FATES = {
    Fate.KEPT: "kept",
    Fate.BELOW_THRESHOLD: "below threshold",
    Fate.UNSCORED: "unscored",
    Fate.REMOVED_BY_RULE: "removed by rule",
    Fate.REMOVED_BY_QUOTA: "removed by quota",
    Fate.NOT_SAMPLED: "not sampled",
}


class Html(str):
    """Text that is markup already. Only this module makes it."""

    __slots__ = ()


Child = str | int | Html
"""What an element may hold; every `str` that is not Html is escaped."""


def _hides(character: str) -> bool:
    """Whether a character shows nothing, or changes the order of what is shown."""
    if character in "\n\t\r" or unicodedata.category(character) == "Zs":
        return False
    return (
        not character.isprintable()
        or character in "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
        or "\U000e0100" <= character <= "\U000e01ef"
    )


def _hidden(value: str) -> list[str]:
    if value.isascii() and value.isprintable():
        return []
    return [character for character in set(value) if _hides(character)]


def text(value: str) -> Html:
    """Any text as it stands, with every hidden character shown by its code."""
    escaped = escape(value, quote=False)
    if hidden := _hidden(value):
        escaped = escaped.translate(
            {ord(c): f'<span class="code-point">U+{ord(c):04X}</span>' for c in hidden}
        )
    return Html(escaped)


def plain(value: str) -> str:
    """The text with hidden characters shown by their code, where markup has no place: attributes, labels of charts."""
    hidden = _hidden(value)
    return value.translate({ord(c): f"⟨U+{ord(c):04X}⟩" for c in hidden}) if hidden else value


def tag(_element: str, *children: Child, **attributes: str | int | bool | None) -> Html:
    """An element. `class_` is written class, `data_x` data-x; True is an attribute without a value, None and False are none."""
    opened = [_element]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        name = key.rstrip("_").replace("_", "-")
        opened.append(name if value is True else f'{name}="{escape(plain(str(value)))}"')
    return Html(f"<{' '.join(opened)}>{join(children)}</{_element}>")


def join(children: Iterable[Child]) -> Html:
    """Elements and texts, one after the other."""
    return Html("".join(child if isinstance(child, Html) else text(str(child)) for child in children))


def count(number: int | None) -> str:
    """A number of rows; the page's script writes numbers the same way."""
    return "–" if number is None else f"{number:,}"


def percent(part: int, whole: int) -> str:
    """A share in tenths of a percent, from whole numbers, so that the page's script can write the very same text."""
    if not whole:
        return "–"
    tenths = (2000 * part + whole) // (2 * whole)
    if part and not tenths:
        return "<0.1%"
    if part < whole and tenths == 1000:
        return ">99.9%"
    return f"{tenths // 10}.{tenths % 10}%"


def gap(part: int, whole: int, all_part: int, all_whole: int) -> str:
    """How far a share lies above or below that of all rows, in percentage points."""
    if not whole or not all_whole:
        return "–"
    difference, of = part * all_whole - all_part * whole, whole * all_whole
    tenths = (2000 * abs(difference) + of) // (2 * of)
    sign = "" if not tenths else "+" if difference > 0 else "−"
    return f"{sign}{tenths // 10}.{tenths % 10}"


def number(value: Any) -> str:
    """A number of a recipe or a measure, as a person writes it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "not there" if value is None else str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.6g}"


def badge(state: str) -> Html:
    """A state as a word; the colour only repeats it."""
    return tag("span", state.upper(), class_=f"state {State(state)}")


def table(
    heads: Sequence[str],
    body: Iterable[Sequence[Child]],
    *,
    words: Sequence[int] = (0,),
    label: str = "",
    foot: bool = False,
) -> Html:
    """A table whose columns hold numbers, except those in `words`; the first cell names its row."""
    names = ["word" if index in words else None for index in range(len(heads))]
    head = tag(
        "tr", *(tag("th", title, scope="col", class_=name) for title, name in zip(heads, names, strict=True))
    )
    rows = [
        tag(
            "tr",
            tag("th", row[0], scope="row", class_=names[0]),
            *(
                tag("td", cell, class_="zero" if cell == "0" else name)
                for cell, name in zip(row[1:], names[1:], strict=True)
            ),
        )
        for row in body
    ]
    first = tag("tbody", rows.pop(0), class_="whole") if foot and rows else ""
    return scrolling(
        tag("table", tag("thead", head), first, tag("tbody", *rows)), label, tall=len(rows) > _TALL
    )


def scrolling(content: Html, label: str, *, tall: bool = False) -> Html:
    """Content that may be wider than the page, or taller than a reader wants to scroll past; the keyboard reaches it."""
    return tag(
        "div",
        content,
        class_="scroll tall" if tall else "scroll",
        tabindex=0,
        role="region",
        aria_label=label,
    )


def folded(summary: Child, *content: Child, class_: str | None = None) -> Html:
    """Content behind a line that opens it."""
    return tag("details", tag("summary", summary), *content, class_=class_)


def to_html(report: Report) -> str:
    """The report as one HTML file.

    Raises MachineError where there is something to draw and the charting library is not installed.
    """
    page = _Page(report)
    body = page.body()
    scripts = [_asset("report.js")]
    if page.specs:
        scripts.insert(0, _charting())
    style = _asset("report.css")
    allowed = " ".join(_digest(script) for script in scripts)
    policy = f"default-src 'none'; script-src {allowed}; style-src {_digest(style)}; base-uri 'none'; form-action 'none'"
    data = json.dumps({"charts": page.specs, "thresholds": page.thresholds}, separators=(",", ":"))
    title = f"{page.title}: {report.verdict.upper()} (alpaqual)"
    head = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>{escape(plain(title))}</title>",
        f"<style>{style}</style>",
    ]
    parts = ["<!DOCTYPE html>", '<html lang="en">', "<head>", *head, "</head>", "<body>", body]
    parts.append(f'<script type="application/json" id="data">{_for_script(data)}</script>')
    # Modules run in order, after the page is there, and keep their names to themselves.
    parts += [f'<script type="module">{script}</script>' for script in scripts]
    return "\n".join([*parts, "</body>", "</html>", ""])


@functools.cache
def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


@functools.cache
def _charting() -> str:
    """The charting library, unable to end the element that holds it."""
    try:
        script = _asset("vega.js")
    except FileNotFoundError:
        raise MachineError(
            "the charting library of the HTML report (alpaqual/report/assets/vega.js) is not there: it is made when the package "
            "is built. Install alpaqual with: pip install alpaqual; in a checkout: pip install -e ."
        ) from None
    return re.sub(r"<(?=/?script|!--)", r"\\x3c", script, flags=re.IGNORECASE)


@functools.cache
def _digest(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def _for_script(data: str) -> str:
    """JSON in ASCII that holds nothing that HTML reads."""
    return data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Page:
    """The page's sections, and what its script needs: charts by the id of their element, and thresholds."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.results = report.results
        self.datasets: Mapping[str, Any] = report.results["datasets"]
        self.graders: Mapping[str, Any] = report.results.get("graders", {})
        recipe = report.results["recipe"]
        self.title: str = recipe["title"] or recipe["name"]
        self.specs: dict[str, Spec] = {}
        self.thresholds: list[dict[str, Any]] = []

    def body(self) -> Html:
        sections = [
            ("datasets", "Datasets", self.dataset_table()),
            ("scores", "Scores", self.histograms()),
            ("thresholds", "Thresholds", self.sliders()),
            ("categories", "Category balance", self.balances()),
            ("rules", "Rules", self.rules()),
            ("expectations", "Expectations", self.expectations()),
            ("graders", "Graders", self.grader_table()),
            ("rows", "Rows near the threshold", self.sample()),
            ("sources", "Sources", self.sources()),
            ("provenance", "Provenance", self.provenance()),
        ]
        there = [each for each in sections if each[2]]
        links = tag("ul", *(tag("li", tag("a", name, href=f"#{ident}")) for ident, name, _ in there))
        return join(
            [
                tag("header", self.head(), tag("nav", links, aria_label="Sections") if there else ""),
                tag(
                    "main",
                    *(tag("section", tag("h2", name), content, id=ident) for ident, name, content in there),
                ),
                tag("div", id="tip", hidden=True),
            ]
        )

    def head(self) -> Html:
        results, report = self.results, self.report
        recipe = results["recipe"]
        name = join([tag("span", recipe["name"], class_="name"), " · "]) if recipe["title"] else ""
        subtitle = tag("p", name, "recipe ", tag("code", recipe["file"]), class_="subtitle")
        line = [badge(report.verdict), " ", tag("span", report.headline, class_="headline")]
        parts = [tag("h1", self.title), subtitle, tag("p", *line, class_=f"verdict {report.verdict}")]
        if self.datasets:
            kept = [
                join(
                    [", " if index else "", tag("span", name, class_="name"), f" keeps {count(each['rows'])}"]
                )
                for index, (name, each) in enumerate(self.datasets.items())
            ]
            parts.append(
                tag(
                    "p",
                    f"Of {count(results['source']['rows'])} rows: ",
                    *kept[:8],
                    ", …" if len(kept) > 8 else ".",
                )
            )
        elif report.verdict is State.ERROR:
            parts.append(
                tag("p", "The run ended before a dataset was selected: there is nothing else to report.")
            )
        parts.append(self.reasons())
        note = "The charts, the threshold slider and the filters of this page need JavaScript; all tables are complete without it."
        return join([*parts, tag("noscript", tag("p", note, class_="note"))])

    def reasons(self) -> Html:
        items = [
            tag(
                "li",
                badge(reason["state"]),
                " ",
                tag("span", reason["text"], class_="said"),
                join([" ", tag("code", reason["place"], class_="place")]) if reason["place"] else "",
            )
            for reason in self.results["reasons"]
        ]
        if not items:
            return Html("")
        shown = tag("ul", *items[:_MOST_REASONS], class_="reasons")
        more = items[_MOST_REASONS:]
        return join(
            [shown, folded(f"{count(len(more))} more", tag("ul", *more, class_="reasons")) if more else ""]
        )

    def dataset_table(self) -> Html:
        if not self.datasets:
            return Html("")
        fates = [Fate.BELOW_THRESHOLD, Fate.UNSCORED, Fate.REMOVED_BY_RULE, Fate.NOT_SAMPLED]
        heads = [
            "dataset",
            "selects",
            "rows",
            "keep rate",
            "by threshold alone",
            "added by quota",
            "removed by quota",
            "shortfall",
        ]
        body: list[list[Child]] = []
        for name, each in self.datasets.items():
            share = tag("span", percent(each["rows"], each["eligible"]), class_="share")
            rate = join([bar(each["rows"], each["eligible"]), share])
            short = tag("strong", count(each["shortfall"]), class_="bad") if each["shortfall"] else "0"
            cells: list[Child] = [
                name,
                selects(each),
                tag("strong", count(each["rows"])),
                rate,
                count(each["at_threshold"]),
            ]
            cells += [
                count(each["below_threshold"]),
                count(each["fates"].get(Fate.REMOVED_BY_QUOTA, 0)),
                short,
            ]
            body.append(cells + [count(each["fates"].get(fate, 0)) for fate in fates])
        note = (
            f"Each of the {count(self.results['source']['rows'])} rows has one fate in each dataset: kept (rows), or one of the four "
            "columns on the right, or removed by quota. Rows added by quota are below the threshold and kept. "
            "The keep rate is of the rows that no rule removed."
        )
        shown = table([*heads, *(_FATES[fate] for fate in fates)], body, words=(0, 1), label="Datasets")
        return join([shown, tag("p", note, class_="note")])

    def chart(self, spec: Spec) -> Html:
        """A place that the script draws into."""
        ident = f"chart-{len(self.specs)}"
        self.specs[ident] = spec
        return tag("div", id=ident, class_="chart")

    def histogram(self, spec: Spec, caption: Child, scores: Sequence[Mapping[str, Any]]) -> Html:
        """A figure with its numbers, for those who cannot see it."""
        numbers = folded("numbers", score_table(scores), class_="numbers")
        few = "few" if len(scores) <= _FEW else None
        return tag("figure", tag("figcaption", caption), self.chart(spec), numbers, class_=few)

    def histograms(self) -> Html:
        figures = []
        for name, grader in self.graders.items():
            if not grader["histogram"]:
                continue
            caption = join([tag("span", name, class_="name"), f" · {count(grader['scored'])} scored"])
            if grader["unscored"]:
                caption = join([caption, f", {count(grader['unscored'])} unscored"])
            spec = histogram(grader["histogram"], grader["scale"], title=plain(grader["dimension"]))
            figures.append(self.histogram(spec, caption, grader["histogram"]))
        return tag("div", *figures, class_="grid") if figures else Html("")

    def sliders(self) -> Html:
        parts = []
        for name, dataset in self.datasets.items():
            found = what_if(dataset, self.graders, _MOST_CATEGORIES)
            if found is not None:
                parts.append(self.slider(name, dataset, found))
        if not parts:
            return Html("")
        note = (
            "What another threshold would keep, counted from every row's score. Quotas and samples are not applied: to see those, "
            "change the recipe and run it again. Gaps are in percentage points against all rows."
        )
        return join([tag("p", note, class_="note"), *parts])

    def slider(self, name: str, dataset: Mapping[str, Any], found: WhatIf) -> Html:
        ident = f"threshold-{len(self.thresholds)}"
        own = found.stops[found.start]
        caption = join([tag("span", name, class_="name"), ": ", selects(dataset)])
        spec = histogram(
            dataset["scores"],
            self.graders[found.grader]["scale"],
            title=plain(f"score of {found.grader}"),
            threshold=own,
        )
        figure = self.histogram(spec, caption, dataset["scores"])
        groups = [{"eligible": group.eligible, "kept": group.kept} for group in found.groups]
        self.thresholds.append(
            {
                "id": ident,
                "chart": f"chart-{len(self.specs) - 1}",
                "stops": found.stops,
                "start": found.start,
                "groups": groups,
            }
        )
        control = tag(
            "div",
            tag("label", "What another threshold would keep", for_=ident),
            tag("output", f"≥ {own:g}", for_=ident, id=f"{ident}-value"),
            tag(
                "input",
                type="range",
                id=ident,
                min=0,
                max=len(found.stops) - 1,
                step=1,
                value=found.start,
                disabled=len(found.stops) < 2,
            ),
            tag("button", f"back to {own:g}", type="button", id=f"{ident}-back", disabled=True),
            class_="control needs-script",
            hidden=True,
        )
        # An input has no end tag.
        control = Html(control.replace("</input>", ""))
        return tag(
            "article", figure, tag("div", control, what_if_table(ident, name, found)), class_="what-if"
        )

    def balances(self) -> Html:
        parts = [self.category_table()]
        note = "A gap is how far a category's keep rate lies above or below that of all rows, in percentage points."
        for name, dataset in self.datasets.items():
            if dataset["categories"] and (dataset["threshold"] or dataset["quotas"]):
                if len(parts) == 1:
                    parts.append(tag("p", note, class_="note"))
                parts.append(self.balance(name, dataset))
        return join(parts)

    def category_table(self) -> Html:
        categories: Mapping[str, Any] = self.results.get("categories", {})
        if not categories:
            return Html("")
        rows = self.results["source"]["rows"]
        largest = sorted(categories.items(), key=lambda each: (-each[1]["rows"], each[0]))
        with_keywords = any(each["keywords"] for each in categories.values())
        heads = [
            "category",
            "rows",
            "of all rows",
            *(["keyword hits", "by keyword"] if with_keywords else []),
        ]
        body: list[list[Child]] = []
        for name, each in largest[:_MOST_CATEGORIES]:
            cells: list[Child] = [
                tag("span", name, title=each["description"] or None),
                count(each["rows"]),
                percent(each["rows"], rows),
            ]
            if with_keywords:
                words = [
                    join([tag("code", word), " ", count(hits)]) for word, hits in each["keywords"].items()
                ]
                hits = count(each["keyword_hits"]) if each["keywords"] else ""
                cells += [hits, join(join([", " if index else "", word]) for index, word in enumerate(words))]
            body.append(cells)
        note = "A row may be in several categories. Keyword hits add up the rows that hold each keyword, so one row may count more than once."
        shown = table(heads, body, words=(0, 4), label="Categories")
        content = [
            shown,
            tag("p", note, class_="note") if with_keywords else "",
            _more(len(largest) - len(body)),
        ]
        return (
            join(content)
            if len(body) <= 12
            else folded(f"The {count(len(largest))} categories and their rows", *content)
        )

    def balance(self, name: str, dataset: Mapping[str, Any]) -> Html:
        labels = {category: plain(category) for category in dataset["categories"]}
        ordered = balanced(dataset)
        empty = [
            (category, counts)
            for category, counts in dataset["categories"].items()
            if not counts.get("eligible")
        ]
        with_quotas = bool(dataset["quotas"])
        heads = ["category", "rows", "by threshold alone", "keep rate", "gap"]
        heads += ["after quotas", "keep rate", "gap", "added", "removed", "shortfall"] if with_quotas else []
        whole: list[Child] = ["all rows", *_balance_cells(dataset, dataset, with_quotas)]
        body = [
            [category, *_balance_cells(counts, dataset, with_quotas)]
            for category, counts in [*ordered, *empty][:_MOST_CATEGORIES]
        ]
        numbers = join(
            [
                table(heads, [whole, *body], label=f"Category balance of {name}", foot=True),
                _more(len(ordered) + len(empty) - len(body)),
            ]
        )
        caption = join([tag("span", name, class_="name"), ": ", selects(dataset)])
        spec = balance(dataset, labels)
        figure: Html = tag("h3", caption)
        if spec is not None:
            lowest = (
                f" (the {MOST_CATEGORIES} with the lowest keep rates)"
                if len(ordered) > MOST_CATEGORIES
                else ""
            )
            figure = tag(
                "figure", tag("figcaption", caption, lowest), balance_legend(dataset), self.chart(spec)
            )
        return tag("article", figure, numbers, quota_table(name, dataset["quotas"]))

    def rules(self) -> Html:
        rules: Sequence[Mapping[str, Any]] = self.results.get("rules", ())
        if not rules:
            return Html("")
        rows = self.results["source"]["rows"]
        heads = [
            "rule",
            "state",
            "failing rows",
            "rate",
            "warns above",
            "fails above",
            "failing rows are",
            "checks",
            "why",
            "place",
        ]
        body: list[list[Child]] = []
        for rule in rules:
            limits = ["–" if rule[key] is None else number(rule[key]) for key in ("warn", "fail")]
            cells: list[Child] = [
                rule["id"],
                badge(rule["state"]),
                count(rule["failing_rows"]),
                percent(rule["failing_rows"], rows),
                *limits,
            ]
            about: list[Child] = [
                "removed" if rule["drop"] else "kept",
                rule["column"] or "the row",
                rule["description"],
            ]
            body.append([*cells, *about, tag("code", rule["place"])])
        quoted = [
            folded(
                join(["failing rows of ", tag("span", rule, class_="name")]),
                table(
                    ["row", "column", "value"],
                    [
                        [
                            tag("code", row["id"]),
                            row["column"],
                            tag("div", row["value"] or "", class_="quoted", dir="auto"),
                        ]
                        for row in rows
                    ],
                    words=(0, 1, 2),
                    label=rule,
                ),
            )
            for rule, rows in self.report.examples.items()
        ]
        return join([table(heads, body, words=(0, 1, 6, 7, 8, 9), label="Rules"), *quoted])

    def expectations(self) -> Html:
        body: list[list[Child]] = []
        for each in self.results.get("expectations", ()):
            values = each["value"] if isinstance(each["value"], list) else [each["value"]]
            body.append(
                [
                    each["text"],
                    badge(each["state"]),
                    ", ".join(number(value) for value in values),
                    tag("code", each.get("place", "")),
                ]
            )
        return (
            table(["expected", "state", "found", "place"], body, words=(0, 1, 3), label="Expectations")
            if body
            else Html("")
        )

    def grader_table(self) -> Html:
        if not self.graders:
            return Html("")
        heads = [
            "grader",
            "dimension",
            "scores from",
            "scale",
            "scored",
            "unscored",
            "why unscored",
            "calls",
            "reused",
            "tokens in",
            "tokens out",
            "cost",
        ]
        body: list[list[Child]] = []
        for name, each in self.graders.items():
            scale = each["scale"]
            span = f"{scale['min']:g} to {scale['max']:g}" + (
                f" by {scale['step']:g}" if scale.get("step") else ""
            )
            why = ", ".join(f"{reason}: {count(rows)}" for reason, rows in each["unscored_reasons"].items())
            source = ", ".join(
                [each["source"], *(model for model in each["models"] if model not in each["source"])]
            )
            cells: list[Child] = [
                name,
                each["dimension"],
                source,
                span,
                count(each["scored"]),
                count(each["unscored"]),
                why,
            ]
            cells += [
                count(each[key]) for key in ("calls_made", "calls_reused", "input_tokens", "output_tokens")
            ]
            body.append([*cells, f"${each['cost_usd']:,.2f}"])
        return table(heads, body, words=(0, 1, 2, 3, 6), label="Graders")

    def sample(self) -> Html:
        rows = near_rows(self.datasets, self.results.get("settings", {}).get("samples", 0))
        if not rows:
            return Html("")
        datasets = list(dict.fromkeys(standing["dataset"] for row in rows for standing in row["standings"]))
        fates = [
            fate
            for fate in Fate
            if any(standing["fate"] == fate for row in rows for standing in row["standings"])
        ]
        categories = sorted({category for row in rows for category in row["categories"]})
        search = Html('<input type="search" id="rows-search" autocomplete="off" spellcheck="false">')
        control = tag(
            "div",
            _field("rows-search", "Search", search),
            _choice("rows-dataset", "Dataset", "all", [(name, name) for name in datasets]),
            _choice("rows-fate", "Fate", "any", [(fate, _FATES[fate]) for fate in fates]),
            _choice("rows-category", "Category", "any", [(name, name) for name in categories])
            if categories
            else "",
            tag("button", "open all", type="button", id="rows-open"),
            tag("output", f"{count(len(rows))} rows", id="rows-count"),
            class_="control filters needs-script",
            hidden=True,
        )
        more = tag("button", "show more", type="button", id="rows-more", class_="needs-script", hidden=True)
        note = f"The {count(len(rows))} rows whose scores lie nearest to a threshold, on both sides in turn; texts are cut at 1,200 characters."
        return join(
            [
                tag("p", note, class_="note"),
                control,
                tag("div", *map(row_details, rows), id="rows-list"),
                more,
            ]
        )

    def sources(self) -> Html:
        source = self.results["source"]
        body = [
            [
                each["name"],
                tag("code", each["path"]),
                each["format"],
                count(each["rows"]),
                count(each["quarantined"]),
            ]
            for each in source.get("sources", ())
        ]
        if not body:
            return Html("")
        parts = [
            table(
                ["source", "path", "format", "rows", "in quarantine"], body, words=(0, 1, 2), label="Sources"
            )
        ]
        aside: Sequence[Mapping[str, Any]] = source.get("quarantine_examples", ())
        if aside:
            heads = list(aside[0])
            quoted = [
                [
                    tag("div", "" if each[head] is None else str(each[head]), class_="quoted", dir="auto")
                    for head in heads
                ]
                for each in aside
            ]
            parts.append(
                folded(
                    "rows that could not be read",
                    table(heads, quoted, words=range(len(heads)), label="Quarantine"),
                )
            )
        return join(parts)

    def provenance(self) -> Html:
        facts = self.results.get("provenance")
        if not facts:
            return Html("")
        body: list[list[Child]] = [
            ["alpaqual", tag("code", facts["alpaqual"])],
            ["results", f"version {self.results['version']}"],
        ]
        for source in facts["sources"]:
            body += [
                [join(["source ", source["name"], " (sha256)"]), tag("code", digest)]
                for digest in source["sha256"]
            ]
        body += [[join(["stage ", name]), tag("code", digest)] for name, digest in facts["stages"].items()]
        note = "The same sources, recipe and version give the same fingerprints, and the same rows."
        return folded(
            "fingerprints of sources and stages",
            tag("p", note, class_="note"),
            table(["what", "fingerprint"], body, words=(0, 1), label="Provenance"),
        )


def bar(part: int, whole: int) -> Html:
    """A small bar for a share; its number stands beside it."""
    width = f"{100 * part / whole:.1f}" if whole else "0"
    return Html(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="10"/><rect class="fill" width="{width}" height="10"/></svg>'
    )


def selects(dataset: Mapping[str, Any]) -> str:
    """How a dataset selects, in a few words."""
    parts = [f"from {dataset['from']}"] if dataset["from"] else []
    parts += [f"{grader} ≥ {value:g}" for grader, value in dataset["threshold"].items()]
    if dataset["quotas"]:
        quotas = len({quota["category"] for quota in dataset["quotas"]})
        parts.append(f"{quotas} quota{'s' if quotas > 1 else ''}")
    if "sample" in dataset:
        parts.append(f"{count(dataset['sample'])} at random")
    return ", ".join(parts) or "all rows"


def score_table(scores: Sequence[Mapping[str, Any]]) -> Html:
    """The numbers of a histogram."""
    scored = sum(each["rows"] for each in scores)
    body = [[f"{each['score']:g}", count(each["rows"]), percent(each["rows"], scored)] for each in scores]
    return table(["score", "rows", "of scored"], body, words=(), label="Rows by score")


def what_if_table(ident: str, name: str, found: WhatIf) -> Html:
    """What the recipe's threshold keeps of each group, beside what the slider's would; the script fills the cells of the latter."""
    own = f"≥ {found.stops[found.start]:g}"
    live: dict[str, str | bool] = {"class_": "needs-script moved", "hidden": True}
    over = [
        tag("th", "", scope="col", rowspan=2, class_="word"),
        tag("th", "rows", scope="col", rowspan=2),
        tag("th", f"recipe's threshold, {own}", scope="colgroup", colspan=3, class_="recipe"),
        tag(
            "th",
            "slider's threshold, ",
            tag("span", own, id=f"{ident}-head"),
            scope="colgroup",
            colspan=4,
            **live,
        ),
    ]
    under = [tag("th", title, scope="col", class_="recipe") for title in ("kept", "keep rate", "gap")]
    under += [tag("th", title, scope="col", **live) for title in ("kept", "keep rate", "gap", "change")]
    rows = []
    whole = found.groups[0]
    for group in found.groups:
        kept = group.kept[found.start]
        apart = "" if group is whole else gap(kept, group.eligible, whole.kept[found.start], whole.eligible)
        cells = [count(kept), percent(kept, group.eligible), apart]
        head = tag("th", group.label, scope="row", class_="word")
        fixed = [tag("td", count(group.eligible)), *(tag("td", cell, class_="recipe") for cell in cells)]
        rows.append(tag("tr", head, *fixed, *(tag("td", cell, **live) for cell in (*cells, "0"))))
    head = tag("thead", tag("tr", *over), tag("tr", *under))
    content = tag(
        "table", head, tag("tbody", rows[0], class_="whole"), tag("tbody", *rows[1:]), id=f"{ident}-table"
    )
    return scrolling(content, f"What another threshold of {name} would keep", tall=len(rows) > _TALL)


def quota_table(name: str, quotas: Sequence[Mapping[str, Any]]) -> Html:
    """What each quota asks for, and whether the dataset has it."""
    if not quotas:
        return Html("")
    body = [
        [
            each["category"],
            badge(each["state"]),
            each["limit"].replace("_", " "),
            number(each["asked"]),
            count(each["wanted"]),
            count(each["rows"]),
            count(each["shortfall"]),
        ]
        for each in quotas
    ]
    return table(
        ["quota", "state", "limit", "asked", "rows asked for", "rows kept", "shortfall"],
        body,
        words=(0, 1, 2),
        label=f"Quotas of {name}",
    )


def balance_legend(dataset: Mapping[str, Any]) -> Html:
    """What the signs of a balance chart mean, with the two rates that its lines show."""
    circle = '<svg class="sign" viewBox="0 0 12 12" aria-hidden="true"><circle class="{}" cx="6" cy="6" r="4"/></svg>'
    line = '<svg class="sign" viewBox="0 0 12 12" aria-hidden="true"><line class="{}" x1="6" x2="6" y1="0" y2="12"/></svg>'
    rates = {key: percent(dataset[key], dataset["eligible"]) for key in ("at_threshold", "rows")}
    alone, after = Html(circle.format("open")), Html(circle.format("full"))
    if dataset["quotas"]:
        signs = [
            (alone, "by threshold alone"),
            (after, "after quotas"),
            (Html(line.format("dashed")), f"all rows, by threshold alone: {rates['at_threshold']}"),
            (Html(line.format("solid")), f"all rows, after quotas: {rates['rows']}"),
        ]
    else:
        signs = [(after, "by threshold"), (Html(line.format("dashed")), f"all rows: {rates['at_threshold']}")]
    return tag(
        "ul",
        *(tag("li", sign, " ", meaning) for sign, meaning in signs),
        class_="legend needs-script",
        hidden=True,
    )


def _balance_cells(counts: Mapping[str, Any], whole: Mapping[str, Any], with_quotas: bool) -> list[Child]:
    eligible = counts.get("eligible", 0)
    cells: list[Child] = [count(eligible)]
    for key in ("at_threshold", "rows") if with_quotas else ("at_threshold",):
        apart = "" if counts is whole else gap(counts[key], eligible, whole[key], whole["eligible"])
        cells += [count(counts[key]), percent(counts[key], eligible), apart]
    if with_quotas:
        short = counts["shortfall"]
        cells += [count(counts["below_threshold"]), count(counts["fates"].get(Fate.REMOVED_BY_QUOTA, 0))]
        cells.append(tag("strong", count(short), class_="bad") if short else "0")
    return cells


def _more(missing: int) -> Html:
    return (
        tag("p", f"… and {count(missing)} smaller categories: see results.json.", class_="note")
        if missing > 0
        else Html("")
    )


def _choice(ident: str, label: str, every: str, choices: Iterable[tuple[str, str]]) -> Html:
    options = [
        tag("option", every, value=""),
        *(tag("option", plain(shown), value=value) for value, shown in choices),
    ]
    return _field(ident, label, tag("select", *options, id=ident))


def _field(ident: str, label: str, field: Html) -> Html:
    return tag("span", tag("label", label, for_=ident), " ", field, class_="field")


def near_rows(datasets: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    """At most `most` different rows in all, the nearest to a threshold first, of each dataset and each side in turn.

    A row near the thresholds of several datasets is there once, with its standing in each.
    """
    queues = [_nearest(dataset) for dataset in datasets.values() if dataset.get("near")]
    chosen: dict[str, dict[str, Any]] = {}
    while queues and len(chosen) < most:
        for queue in list(queues):
            row = next(queue, None)
            if row is None:
                queues.remove(queue)
            elif len(chosen) < most:
                chosen.setdefault(row["id"], {**row, "categories": row["categories"] or [], "standings": []})
    order = list(datasets)
    for name in order:
        for row in datasets[name].get("near", ()):
            if row["id"] in chosen:
                chosen[row["id"]]["standings"].append({**row, "dataset": name})
    return sorted(chosen.values(), key=lambda row: order.index(row["standings"][0]["dataset"]))


def _nearest(dataset: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    threshold = next(iter(dataset["threshold"].values()), 0.0)
    above = sorted(
        (row for row in dataset["near"] if row["score"] >= threshold),
        key=lambda row: (row["score"], row["id"]),
    )
    below = sorted(
        (row for row in dataset["near"] if row["score"] < threshold),
        key=lambda row: (-row["score"], row["id"]),
    )
    for index in range(max(len(above), len(below))):
        yield from above[index : index + 1]
        yield from below[index : index + 1]


def row_details(row: Mapping[str, Any]) -> Html:
    """A quoted row: one line, and behind it everything that is known of it."""
    first = row["standings"][0]
    line = [
        tag("span", f"{first['score']:g}", class_="score"),
        tag("span", _FATES[Fate(first["fate"])], class_=f"fate {Fate(first['fate'])}"),
        tag("span", first["dataset"], class_="of"),
        tag("span", " ".join(row["instruction"].split())[:300], class_="start"),
        tag("span", ", ".join(row["categories"]), class_="in"),
    ]
    standings = [
        tag(
            "li",
            tag("span", standing["dataset"], class_="name"),
            f": score {standing['score']:g}, {_FATES[Fate(standing['fate'])]}",
            f" ({'; '.join(standing['reasons'])})" if standing["reasons"] else "",
            data_dataset=standing["dataset"],
            data_fate=standing["fate"],
            data_score=f"{standing['score']:g}",
            data_word=_FATES[Fate(standing["fate"])],
        )
        for standing in row["standings"]
    ]
    facts = [
        tag("dt", "id"),
        tag("dd", tag("code", row["id"])),
        tag("dt", "datasets"),
        tag("dd", tag("ul", *standings)),
    ]
    replies = dict.fromkeys(standing["reply"] for standing in row["standings"] if standing["reply"])
    texts = [(field, row[field] or "") for field in ROW_FIELDS] + [
        ("grader's words", reply) for reply in replies
    ]
    for name, value in texts:
        facts += [
            tag("dt", name),
            tag("dd", value, class_="quoted", dir="auto") if value else tag("dd", "empty", class_="none"),
        ]
    return tag(
        "details",
        tag("summary", *line),
        tag("dl", *facts),
        class_="row",
        data_categories=json.dumps(row["categories"]),
    )
