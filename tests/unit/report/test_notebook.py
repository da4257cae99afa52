"""The summary in a notebook."""

from __future__ import annotations

from pathlib import Path

from hostile_report import made, parsed

from alpaqual.report.notebook import to_notebook


def test_the_notebook_summary_has_no_script_and_escapes() -> None:
    written = to_notebook(made(), Path("runs/a b/report.html"))
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
        "a",
    }
    assert "\u202e" not in written
    assert "FAIL" in written
    assert 'href="runs/a%20b/report.html"' in written
