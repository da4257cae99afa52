"""The summary in a notebook."""

from __future__ import annotations

from hostile_report import made, parsed

from alpaqual.report.notebook import to_notebook


def test_the_notebook_summary_has_no_script_and_escapes() -> None:
    written = to_notebook(made())
    names = {name for name, _ in parsed(written).seen}
    assert names <= {
        "div",
        "p",
        "strong",
        "ul",
        "li",
        "code",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "span",
    }
    assert "\u202e" not in written
    assert "FAIL" in written
