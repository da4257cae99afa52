"""The balance of categories: the finding in words, with the numbers of the table beside it."""

from __future__ import annotations

from typing import Any

from found import report
from hostile_report import EVIL, made

from alpaqual.report.html_balance import balance_section
from alpaqual.report.html_charts import Charts


def section(eligible: int, kept: int, **more: Any) -> str:
    """The section for one category of a dataset whose threshold keeps 300 of 1,000 rows."""
    everything = made().results.to_dict()
    good = everything["datasets"]["good"]
    counts = {**good["categories"][EVIL], "eligible": eligible, "at_threshold": kept}
    dataset = {**good, "eligible": 1000, "at_threshold": 300, "categories": {"a <b>": counts}, **more}
    return balance_section(report({**everything, "datasets": {"good": dataset}}).results, Charts())


def test_the_category_that_is_filtered_hardest_is_named_with_the_rates_of_the_table() -> None:
    named = '<span class="name">a &lt;b&gt;</span>'
    assert f"The threshold filters {named} hardest: it keeps 6.3% of it, and 30.0% of all rows." in section(80, 5)


def test_no_message_without_a_category_filtered_harder_or_with_too_few_rows() -> None:
    for eligible, kept, more in [(80, 24, {}), (80, 60, {}), (19, 0, {}), (80, 5, {"threshold": {}})]:
        assert "hardest" not in section(eligible, kept, **more)
