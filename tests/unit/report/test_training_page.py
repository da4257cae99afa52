"""Training on the page in a real browser: the chart is drawn, fits every screen and says nothing of a hostile name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hostile_report import EVIL, made
from training_results import trainings

from alpaqual.report.html import to_html

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_the_chart_is_drawn_and_fits(browser: Any, tmp_path: Path, width: int, scheme: str) -> None:
    found = trainings()
    found[EVIL] = found.pop("random")
    file = tmp_path / "report.html"
    file.write_text(to_html(made(training=found)), encoding="utf-8")
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    try:
        page, said = context.new_page(), []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-drawn]", timeout=20_000)
        chart = page.locator("#training .chart svg")
        assert chart.locator("g.mark-line path").count() == 3
        assert chart.locator("g.mark-symbol path").count() == 600
        names = chart.locator("g.mark-text.role-mark text")
        assert [name[:7] for name in names.all_text_contents()] == ["quality", "full", EVIL[:7]]
        box = chart.bounding_box()
        for each in names.all():
            assert each.bounding_box()["x"] + each.bounding_box()["width"] <= box["x"] + box["width"] + 1 <= width
        # The sign before a dataset's name has the colour of its line.
        first = "getComputedStyle(document.querySelector('#training {}')).stroke"
        sign, line = (page.evaluate(first.format(each)) for each in (".sign line", "g.mark-line path"))
        assert sign == line == ("rgb(43, 106, 155)" if scheme == "light" else "rgb(106, 166, 214)")
        chart.locator("g.mark-symbol path").nth(300).hover(force=True)
        assert "learning rate: " in page.locator("#tip").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("typeof window.pwned") == "undefined"
        assert said == []
    finally:
        context.close()
