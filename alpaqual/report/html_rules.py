"""Shows rules and expectations: what the recipe asks of the data, and what was found."""

from __future__ import annotations

from collections.abc import Sequence

from alpaqual.report.markup import (
    Child,
    Html,
    badge,
    count,
    folded,
    join,
    named,
    number,
    percent,
    quoted,
    records,
    table,
    tag,
)
from alpaqual.report.report import FailingRow, Report
from alpaqual.results.results import ExpectationResult, Results, RuleResult
from alpaqual.values import State

_RULE_WORDS = ("rule", "state", "failing rows are", "checks", "why", "place")


def rules_section(report: Report) -> Html:
    """Return a table of all rules, the worst first, and failing rows where the recipe asks for them."""
    total, order = report.results.source.rows, list(State)
    worst_first = sorted(report.results.rules, key=lambda rule: (-order.index(rule.state), not rule.failing_rows))
    rules = [_rule(rule, total) for rule in worst_first]
    failing = (_failing(rule, rows) for rule, rows in report.examples.items()) if rules else ()
    some = any(rule.failing_rows for rule in worst_first)
    command = tag("code", "alpaqual rows RUN --rule NAME")
    listed = tag("p", command, " lists the rows that fail a rule.", class_="note") if some else ""
    return join([records(rules, words=_RULE_WORDS, label="Rules"), listed, *failing])


def _rule(rule: RuleResult, rows: int) -> dict[str, Child]:
    return {
        "rule": rule.id,
        "state": badge(rule.state),
        "failing rows": count(rule.failing_rows),
        "rate": percent(rule.failing_rows, rows),
        "warns above": _limit(rule.warn),
        "fails above": _limit(rule.fail),
        "failing rows are": "removed" if rule.drop else "kept",
        "checks": rule.column or "the row",
        "why": tag("span", rule.description, class_="why") if rule.description else "",
        "place": tag("code", rule.place, class_="place"),
    }


def _limit(limit: float | str | None) -> str:
    return "–" if limit is None else number(limit)


def _failing(rule: str, rows: Sequence[FailingRow]) -> Html:
    body = [[_row_name(row), row.column, quoted(row.value or "")] for row in rows]
    shown = table(["row", "column", "value"], body, words=(0, 1, 2), label=rule)
    return folded(join(["failing rows of ", named(rule)]), shown)


def _row_name(row: FailingRow) -> Html:
    return tag("code", row.id) if row.own_id is None else quoted(row.own_id)


def expectations_section(results: Results) -> Html:
    """Return a table of all expectations."""
    rows = [_expectation(each) for each in results.expectations]
    return records(rows, words=("expected", "state", "place"), label="Expectations")


def _expectation(expectation: ExpectationResult) -> dict[str, Child]:
    value = expectation.value
    return {
        "expected": expectation.text,
        "state": badge(expectation.state),
        "found": ", ".join(map(number, value if isinstance(value, list) else [value])),
        "place": tag("code", expectation.place),
    }
