"""Quotes the rows nearest to the thresholds, with a search and filters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from alpaqual.report.html_datasets import FATES
from alpaqual.report.markup import NOTHING, Html, count, join, named, note, plain, quoted, tag
from alpaqual.results.datasets import DatasetResult, NearRow
from alpaqual.results.results import Results
from alpaqual.values import ROW_FIELDS, Fate


def rows_section(results: Results) -> Html:
    """Return as many rows as the recipe allows a report to quote."""
    rows = near_rows(results.datasets, results.settings.samples)
    if not rows:
        return NOTHING
    meaning = f"The {count(len(rows))} rows whose scores are nearest to a threshold, above and below in turn; texts are cut at 1,200 characters."
    shown = tag("div", *map(_row, rows), id="rows-list")
    more = tag("button", "show more", type="button", id="rows-more", class_="more needs-script", hidden=True)
    return join([note(meaning), _filters(rows), shown, more])


@dataclass(frozen=True)
class QuotedRow:
    """A row near a threshold, with its fate and score in each dataset."""

    row: NearRow
    fates: tuple[tuple[str, NearRow], ...]
    """(dataset, the row as this dataset has it)."""

    @property
    def categories(self) -> list[str]:
        """The categories of the row."""
        return self.row.categories or []


def near_rows(datasets: Mapping[str, DatasetResult], most: int) -> list[QuotedRow]:
    """Return at most `most` different rows, the nearest to a threshold first, of each dataset and each side in turn.

    A row near the thresholds of several datasets is there once, with its fate in each.
    """
    chosen: dict[str, NearRow] = {}
    for row in _in_turn([_nearest(dataset) for dataset in datasets.values() if dataset.near]):
        if len(chosen) >= most:
            break
        chosen.setdefault(row.id, row)
    fates: dict[str, list[tuple[str, NearRow]]] = {row: [] for row in chosen}
    for name, dataset in datasets.items():
        for row in dataset.near:
            if row.id in fates:
                fates[row.id].append((name, row))
    order = list(datasets)
    quoted_rows = [QuotedRow(row, tuple(fates[row.id])) for row in chosen.values()]
    return sorted(quoted_rows, key=lambda row: order.index(row.fates[0][0]))


def _in_turn(queues: Sequence[Iterator[NearRow]]) -> Iterator[NearRow]:
    """Yield the first of each queue, then the second of each, until all are empty."""
    while queues:
        heads = [(queue, next(queue, None)) for queue in queues]
        queues = [queue for queue, row in heads if row is not None]
        yield from (row for _, row in heads if row is not None)


def _nearest(dataset: DatasetResult) -> Iterator[NearRow]:
    """Yield the rows near a dataset's threshold, the nearest first: one above, one below."""
    threshold = next(iter(dataset.threshold.values()), 0.0)
    above = [row for row in dataset.near if row.score >= threshold]
    below = [row for row in dataset.near if row.score < threshold]
    above.sort(key=lambda row: (row.score, row.id))
    below.sort(key=lambda row: (-row.score, row.id))
    return _in_turn([iter(above), iter(below)])


def _filters(rows: Sequence[QuotedRow]) -> Html:
    datasets = dict.fromkeys(dataset for row in rows for dataset, _ in row.fates)
    present = {each.fate for row in rows for _, each in row.fates}
    fates = [fate for fate in Fate if fate in present]
    categories = sorted({category for row in rows for category in row.categories})
    search = tag("input", type="search", id="rows-search", autocomplete="off", spellcheck="false")
    return tag(
        "div",
        field("rows-search", "Search", search),
        choice("rows-dataset", "Dataset", "all", [(name, name) for name in datasets]),
        choice("rows-fate", "Fate", "any", [(fate, FATES[fate]) for fate in fates]),
        choice("rows-category", "Category", "any", [(name, name) for name in categories]) if categories else "",
        tag("button", "open all", type="button", id="rows-open"),
        tag("output", f"{count(len(rows))} rows", id="rows-count"),
        class_="control filters needs-script",
        hidden=True,
    )


def choice(ident: str, label: str, every: str, choices: Iterable[tuple[str, str]]) -> Html:
    """Return a list to choose from: `every` first, then each value with the text that is shown."""
    options = (tag("option", plain(shown), value=value) for value, shown in choices)
    return field(ident, label, tag("select", tag("option", every, value=""), *options, id=ident))


def field(ident: str, label: str, control: Html) -> Html:
    """Return a control with its label."""
    return tag("span", tag("label", label, for_=ident), " ", control, class_="field")


def _row(row: QuotedRow) -> Html:
    """Return a quoted row: one line that opens to everything that is known of it."""
    facts = [
        *(() if row.row.own_id is None else (tag("dt", "id"), quoted(row.row.own_id, "dd"))),
        *(tag("dt", "id" if row.row.own_id is None else "row id"), tag("dd", tag("code", row.row.id))),
        *(tag("dt", "datasets"), tag("dd", tag("ul", *(_fate(dataset, each) for dataset, each in row.fates)))),
    ]
    for name, words in _texts(row):
        facts += [tag("dt", name), quoted(words, "dd") if words else tag("dd", "empty", class_="none")]
    categories = json.dumps(row.categories)
    return tag("details", tag("summary", *_line(row)), tag("dl", *facts), class_="row", data_categories=categories)


def _texts(row: QuotedRow) -> list[tuple[str, str]]:
    replies = dict.fromkeys(each.reply for _, each in row.fates if each.reply)
    fields = [(field, row.row[field] or "") for field in ROW_FIELDS]
    return [*fields, *(("reply of the grader", reply) for reply in replies)]


def _line(row: QuotedRow) -> list[Html]:
    """Return a row in one line; the page's script shows the fate in the dataset that is filtered for."""
    dataset, first = row.fates[0]
    return [
        tag("span", f"{first.score:g}", class_="score"),
        tag("span", FATES[first.fate], class_=f"fate {first.fate}"),
        tag("span", dataset, class_="of"),
        tag("span", " ".join((row.row.instruction or "").split())[:300], class_="start"),
        tag("span", ", ".join(row.categories), class_="in"),
    ]


def _fate(dataset: str, row: NearRow) -> Html:
    """Return the score and fate of a row in a dataset, with the reasons."""
    score, fate = f"{row.score:g}", FATES[row.fate]
    return tag(
        "li",
        named(dataset),
        f": score {score}, {fate}",
        f" ({'; '.join(row.reasons)})" if row.reasons else "",
        data_dataset=dataset,
        data_fate=row.fate,
        data_score=score,
        data_word=fate,
    )
