"""The rows nearest to the thresholds, quoted in full, with a search and filters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from alpaqual.report.html_datasets import FATES
from alpaqual.report.markup import NOTHING, Html, count, join, named, note, plain, quoted, tag
from alpaqual.values import ROW_FIELDS, Fate


def rows_section(results: Mapping[str, Any]) -> Html:
    """As many rows as the recipe allows to be quoted."""
    rows = near_rows(results["datasets"], results.get("settings", {}).get("samples", 0))
    if not rows:
        return NOTHING
    meaning = f"The {count(len(rows))} rows whose scores lie nearest to a threshold, on both sides in turn; texts are cut at 1,200 characters."
    shown = tag("div", *map(_row, rows), id="rows-list")
    more = tag("button", "show more", type="button", id="rows-more", class_="needs-script", hidden=True)
    return join([note(meaning), _filters(rows), shown, more])


def near_rows(datasets: Mapping[str, Any], most: int) -> list[dict[str, Any]]:
    """At most `most` different rows in all, the nearest to a threshold first, of each dataset and each side in turn.

    A row near the thresholds of several datasets is there once, with its standing in each.
    """
    chosen: dict[str, dict[str, Any]] = {}
    for row in _in_turn([_nearest(dataset) for dataset in datasets.values() if dataset.get("near")]):
        if len(chosen) >= most:
            break
        chosen.setdefault(row["id"], {**row, "categories": row["categories"] or [], "standings": []})
    order = list(datasets)
    for name in order:
        for row in datasets[name].get("near", ()):
            if row["id"] in chosen:
                chosen[row["id"]]["standings"].append({**row, "dataset": name})
    return sorted(chosen.values(), key=lambda row: order.index(row["standings"][0]["dataset"]))


def _in_turn(queues: Sequence[Iterator[Mapping[str, Any]]]) -> Iterator[Mapping[str, Any]]:
    """One of each queue, then the next of each, until all are empty."""
    while queues:
        heads = [(queue, next(queue, None)) for queue in queues]
        queues = [queue for queue, row in heads if row is not None]
        yield from (row for _, row in heads if row is not None)


def _nearest(dataset: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The rows near a dataset's threshold, the nearest first: one above, one below."""
    threshold = next(iter(dataset["threshold"].values()), 0.0)
    above = [row for row in dataset["near"] if row["score"] >= threshold]
    below = [row for row in dataset["near"] if row["score"] < threshold]
    above.sort(key=lambda row: (row["score"], row["id"]))
    below.sort(key=lambda row: (-row["score"], row["id"]))
    return _in_turn([iter(above), iter(below)])


def _filters(rows: Sequence[Mapping[str, Any]]) -> Html:
    standings = [standing for row in rows for standing in row["standings"]]
    datasets = dict.fromkeys(standing["dataset"] for standing in standings)
    fates = [fate for fate in Fate if any(standing["fate"] == fate for standing in standings)]
    categories = sorted({category for row in rows for category in row["categories"]})
    search = tag("input", type="search", id="rows-search", autocomplete="off", spellcheck="false")
    return tag(
        "div",
        _field("rows-search", "Search", search),
        _choice("rows-dataset", "Dataset", "all", [(name, name) for name in datasets]),
        _choice("rows-fate", "Fate", "any", [(fate, FATES[fate]) for fate in fates]),
        _choice("rows-category", "Category", "any", [(name, name) for name in categories]) if categories else "",
        tag("button", "open all", type="button", id="rows-open"),
        tag("output", f"{count(len(rows))} rows", id="rows-count"),
        class_="control filters needs-script",
        hidden=True,
    )


def _choice(ident: str, label: str, every: str, choices: Iterable[tuple[str, str]]) -> Html:
    options = (tag("option", plain(shown), value=value) for value, shown in choices)
    return _field(ident, label, tag("select", tag("option", every, value=""), *options, id=ident))


def _field(ident: str, label: str, field: Html) -> Html:
    return tag("span", tag("label", label, for_=ident), " ", field, class_="field")


def _row(row: Mapping[str, Any]) -> Html:
    """A quoted row: one line, and behind it everything that is known of it."""
    facts = [
        *(tag("dt", "id"), tag("dd", tag("code", row["id"]))),
        *(tag("dt", "datasets"), tag("dd", tag("ul", *map(_standing, row["standings"])))),
    ]
    for name, words in _texts(row):
        facts += [tag("dt", name), quoted(words, "dd") if words else tag("dd", "empty", class_="none")]
    categories = json.dumps(row["categories"])
    return tag("details", tag("summary", *_line(row)), tag("dl", *facts), class_="row", data_categories=categories)


def _texts(row: Mapping[str, Any]) -> list[tuple[str, str]]:
    replies = dict.fromkeys(standing["reply"] for standing in row["standings"] if standing["reply"])
    return [*((field, row[field] or "") for field in ROW_FIELDS), *(("grader's words", reply) for reply in replies)]


def _line(row: Mapping[str, Any]) -> list[Html]:
    """What is known of a row in one line; the script says another standing where another dataset is asked for."""
    first = row["standings"][0]
    return [
        tag("span", f"{first['score']:g}", class_="score"),
        tag("span", FATES[first["fate"]], class_=f"fate {Fate(first['fate'])}"),
        tag("span", first["dataset"], class_="of"),
        tag("span", " ".join(row["instruction"].split())[:300], class_="start"),
        tag("span", ", ".join(row["categories"]), class_="in"),
    ]


def _standing(standing: Mapping[str, Any]) -> Html:
    """What became of a row in a dataset."""
    score, fate = f"{standing['score']:g}", FATES[standing["fate"]]
    return tag(
        "li",
        named(standing["dataset"]),
        f": score {score}, {fate}",
        f" ({'; '.join(standing['reasons'])})" if standing["reasons"] else "",
        data_dataset=standing["dataset"],
        data_fate=standing["fate"],
        data_score=score,
        data_word=fate,
    )
