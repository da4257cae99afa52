"""Quotes items that judges saw: the question, both answers, the judge's replies in both orders, with a search and filters."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from alpaqual.report.evaluation import key, name, own_rule
from alpaqual.report.html_rows import choice, field
from alpaqual.report.markup import NOTHING, Child, Html, count, join, named, note, quoted, tag
from alpaqual.results.evaluation import EvaluationResult
from alpaqual.store.judged_items import EXAMPLES, MOST_TEXT, JudgedItems

_VERDICTS = {"win": "win", "tie": "tie", "lose": "lose", "": "unjudged"}

_Item = Mapping[str, Any]


def judged_items_section(evaluation: EvaluationResult, found: JudgedItems) -> Html:
    """Return the items, those that come first in front; the page's script shows them page by page."""
    if not found.rows:
        return NOTHING
    order = {key(each): index for index, each in enumerate(own_rule(evaluation))}
    items = sorted(found.rows, key=lambda item: order.get((item["judge"], item["a"], item["b"]), len(order)))
    kinds = {
        "pair": {_pair(item) for item in items},
        **{key: {item[key] for item in items} for key in ("test_set", "judge")},
    }
    several = {kind for kind, values in kinds.items() if len(values) > 1}
    shown = tag("div", *(_item(item, several) for item in items), id="items-list")
    more = tag("button", "show more", type="button", id="items-more", class_="more needs-script", hidden=True)
    return join([note(_meaning(found)), _filters(items), shown, more])


def _meaning(found: JudgedItems) -> str:
    rows, total = found.rows, found.total
    sentences = [
        f"First the {EXAMPLES} clearest wins and the {EXAMPLES} clearest losses of each category (of a test set without categories, of all its items): those whose scores are furthest apart."
    ]
    if len(rows) < total:
        sentences.append(
            f"This page has {count(len(rows))} of {count(total)} items, wins and losses of each category first; all are in "
            "evaluation/verdicts.parquet."
        )
    if any(row["cut"] for row in rows):
        sentences.append(f"Texts are cut at {count(MOST_TEXT)} characters.")
    return " ".join(sentences)


def _filters(items: Sequence[_Item]) -> Html:
    pairs = dict.fromkeys(_pair(item) for item in items)
    test_sets, judges, groups = (
        list(dict.fromkeys(str(item[key] or "") for item in items)) for key in ("test_set", "judge", "group")
    )
    verdicts = [key for key in _VERDICTS if any((item["verdict"] or "") == key for item in items)]
    search = tag("input", type="search", id="items-search", autocomplete="off", spellcheck="false")
    shown = [("", f"{EXAMPLES} wins, {EXAMPLES} losses"), ("all", "all items")]
    options = (tag("option", text, value=value) for value, text in shown)
    return tag(
        "div",
        field("items-search", "Search", search),
        field("items-shown", "Show", tag("select", *options, id="items-shown")),
        choice("items-pair", "Pair", "all", [(pair, pair) for pair in pairs]) if len(pairs) > 1 else "",
        choice("items-test-set", "Test set", "all", [(each, name(each)) for each in test_sets])
        if len(test_sets) > 1
        else "",
        choice("items-group", "Category", "any", [(each, name(each)) for each in sorted(groups) if each])
        if any(groups)
        else "",
        choice("items-verdict", "Verdict", "any", [(each or "unjudged", _VERDICTS[each]) for each in verdicts]),
        choice("items-judge", "Judge", "all", [(each, name(each)) for each in judges]) if len(judges) > 1 else "",
        tag("button", "open all", type="button", id="items-open"),
        tag("output", f"{count(len(items))} items", id="items-count"),
        class_="control filters needs-script",
        hidden=True,
    )


def _pair(item: _Item) -> str:
    return f"{name(item['a'])} against {name(item['b'])}"


def _item(item: _Item, several: Collection[str]) -> Html:
    """Return an item: one line that opens to everything that is known of it."""
    verdict = item["verdict"] or ""
    first, second = item["a"], item["b"]
    about = [
        tag("dt", "id"),
        tag("dd", tag("code", str(item["id"]))),
        *(each for key in ("category", "skill") if item[key] for each in (tag("dt", key), tag("dd", item[key]))),
        *((tag("dt", "judge"), tag("dd", name(item["judge"]))) if "judge" in several else ()),
        tag("dt", "question"),
        quoted(item["question"], "dd") if item["question"] else tag("dd", "not in the log", class_="none"),
    ]
    answers = [
        _column(named(name(model)), item[key], "no text") for model, key in ((first, "answer_a"), (second, "answer_b"))
    ]
    replies = list(_replies(item))
    return tag(
        "details",
        tag("summary", *_line(item, several)),
        tag("dl", *about),
        tag("div", *answers, class_="versus"),
        tag("div", *replies, class_="versus"),
        class_="row item",
        data_pair=_pair(item),
        data_test_set=str(item["test_set"] or ""),
        data_group=str(item["group"] or ""),
        data_verdict=verdict or "unjudged",
        data_judge=item["judge"],
        data_example=bool(item["example"]),
    )


def _line(item: _Item, several: Collection[str]) -> list[Html]:
    verdict = item["verdict"] or ""
    where = {"pair": _pair(item), "test_set": name(str(item["test_set"] or "")), "judge": name(item["judge"])}
    return [
        tag("span", _VERDICTS.get(verdict, "unjudged"), class_=f"outcome {verdict or 'unjudged'}"),
        tag("span", item["group"] or "", class_="of"),
        tag("span", " ".join((item["question"] or str(item["id"])).split())[:300], class_="start"),
        tag("span", " · ".join(text for key, text in where.items() if key in several), class_="in"),
    ]


def _column(title: Child, words: str | None, empty: str) -> Html:
    shown = quoted(words.strip("\n")) if words else tag("p", empty, class_="none")
    return tag("div", tag("h4", title), shown)


def _replies(item: _Item) -> Iterator[Html]:
    """Yield the vote and the reply of each order."""
    for first, second, order in (("a", "b", "a_first"), ("b", "a", "b_first")):
        if item["one_order"] and not item[f"winner_{order}"] and not item[f"reply_{order}"]:
            continue
        title = join([named(name(item[first])), " first: ", _vote(item, first, second, order)])
        yield _column(title, item[f"reply_{order}"], "the reply is not kept")


def _vote(item: _Item, first: str, second: str, order: str) -> str:
    """Return what a reply says, by the names of the models."""
    winner = item[f"winner_{order}"]
    if winner is None:
        return f"no vote ({item[f'reason_{order}'] or 'no reply'})"
    better = {"first": f"{name(item[first])} is better", "second": f"{name(item[second])} is better"}.get(
        winner, "a tie"
    )
    scores = [(item[side], item[f"score_{order}_{place}"]) for side, place in ((first, 1), (second, 2))]
    known = [f"{name(model)} {score:g}" for model, score in scores if score is not None]
    return f"{better} ({', '.join(known)})" if known else better
