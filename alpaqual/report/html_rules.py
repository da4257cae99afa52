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

_RULE_WORDS = ("rule", "state", "failing rows are", "checks", "why", "place")


def rules_section(report: Report) -> Html:
    """Return a table of all rules, and failing rows where the recipe asks for them."""
    total = report.results.source.rows
    rules = [_rule(rule, total) for rule in report.results.rules]
    failing = (_failing(rule, rows) for rule, rows in report.examples.items()) if rules else ()
    return join([records(rules, words=_RULE_WORDS, label="Rules"), *failing])


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
        "why": rule.description,
        "place": tag("code", rule.place),
    }


def _limit(limit: float | str | None) -> str:
    return "–" if limit is None else number(limit)


def _failing(rule: str, rows: Sequence[FailingRow]) -> Html:
    body = [[tag("code", row.id), row.column, quoted(row.value or "")] for row in rows]
    shown = table(["row", "column", "value"], body, words=(0, 1, 2), label=rule)
    return folded(join(["failing rows of ", named(rule)]), shown)


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
