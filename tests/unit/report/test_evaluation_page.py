"""An evaluation on the page in a real browser: it fits every screen, items can be found, and hostile texts do nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evaluation_results import everything, judged_rows
from hostile_report import EVIL, made

from alpaqual.report.html import to_html
from alpaqual.store.judged_items import JudgedItems

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def rows_of(count: int) -> list[dict[str, Any]]:
    rows = judged_rows(count, text=EVIL) + judged_rows(count, a="random")
    return [
        {**row, "group": row["category"], "example": bool(row["verdict"]) and index % 3 == 0, "cut": False}
        for index, row in enumerate(rows)
    ]


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1280, "light")])
def test_the_evaluation_fits_and_items_are_found(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    rows = rows_of(60)
    file = tmp_path / "report.html"
    file.write_text(to_html(replace(made(evaluation=everything()), items=JudgedItems(rows, 5000))), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-drawn]", timeout=20_000)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        # Every name around a circle is inside its drawing and beside no other one.
        overlaps = """() => [...document.querySelectorAll('.radar')].filter(each => each.getBoundingClientRect().width).map(each => {
          const frame = each.getBoundingClientRect(), names = [...each.querySelectorAll('.label')].map(name => name.getBoundingClientRect());
          const out = names.filter(name => name.left < frame.left - 1 || name.right > frame.right + 1 || name.top < frame.top - 1 || name.bottom > frame.bottom + 1);
          const over = names.filter((name, i) => names.some((other, j) => j > i && name.left < other.right && other.left < name.right && name.top + 3 < other.bottom - 3 && other.top + 3 < name.bottom - 3));
          return [names.length, out.length, over.length];
        })"""
        drawn = page.evaluate(overlaps)
        assert {count for count, _, _ in drawn} == {9, 29}
        assert all(out == over == 0 for _, out, over in drawn), drawn
        items, shown = page.locator("#items-list .item:visible"), page.locator("#items-count")
        examples = sum(row["example"] for row in rows)
        assert shown.inner_text() == f"20 of {examples} items"
        page.locator("#items-pair").select_option("random against full")
        wanted = [row for row in rows if row["example"] and row["a"] == "random"]
        assert shown.inner_text() == f"{min(20, len(wanted))} of {len(wanted)} items"
        page.locator("#items-verdict").select_option("tie")
        ties = sum(row["verdict"] == "tie" and row["a"] == "random" for row in rows)
        assert page.locator("#items-shown").input_value() == "all"
        assert items.count() == ties > 0
        for choice in ("pair", "verdict"):
            page.locator(f"#items-{choice}").select_option("")
        page.locator("#items-search").fill("question 41: BICYCLE window.pwned")
        assert items.count() == 1
        items.first.locator("summary").click()
        assert EVIL[:40] in items.first.inner_text()
        assert page.evaluate("typeof window.pwned") == "undefined"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert said == []
    finally:
        context.close()
