"""The HTML report in a real browser: hostile rows do nothing, and the numbers that move are those that Python counts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hostile_rows import HOSTILE, RECIPE, SCRIPT, Made, expected, made_rows, shown_as

import alpaqual
from alpaqual.api import Report, to_html
from alpaqual.results.results import Results

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("hostile")
    rows = made_rows()
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    run = alpaqual.run(folder / "recipe.yaml", out=folder / "out")
    return Made(rows, run.results.to_dict(), folder / "out" / "report.html")


def page_of(results: dict[str, Any]) -> str:
    return to_html(Report(msgspec.convert(results, Results), {}))


@dataclass
class Seen:
    """What a page said and asked for while it was open."""

    page: Any
    said: list[str]
    asked: list[str]


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Seen]]:
    contexts = []

    def opened(file: Path, *, drawn: bool = True, **settings: Any) -> Seen:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
        contexts.append(context)
        seen = Seen(context.new_page(), [], [])
        seen.page.on("console", lambda message: seen.said.append(f"{message.type}: {message.text}"))
        seen.page.on("pageerror", lambda error: seen.said.append(f"uncaught: {error}"))
        seen.page.on("dialog", lambda dialog: seen.said.append(f"dialog: {dialog.message}"))
        seen.page.on("request", lambda request: seen.asked.append(request.url))
        seen.page.goto(file.as_uri())
        if drawn:
            seen.page.wait_for_selector("html[data-drawn]", timeout=20_000)
        return seen

    yield opened
    for context in contexts:
        context.close()


def cells(page: Any, table: str) -> dict[str, list[str]]:
    """The texts of a table's rows, by their first cell; the whole's is under an empty name."""
    read = """table => [...document.querySelectorAll(`#${table} tbody tr`)].map(row => [...row.children].map(cell => cell.textContent))"""
    (_, *whole), *others = page.evaluate(read, table)
    return {"": whole, **{name: rest for name, *rest in others}}


def test_a_hostile_report_loads_without_errors_requests_or_running_a_row(made: Made, show: Callable[..., Seen]) -> None:
    seen = show(made.report)
    seen.page.get_by_role("button", name="open all").click()
    seen.page.mouse.move(300, 300)
    assert seen.said == []
    assert seen.asked == [made.report.as_uri()]
    assert seen.page.evaluate("typeof window.pwned") == "undefined"
    assert seen.page.locator("main img, main script, main b, main i, main svg[onload]").count() == 0
    assert "unsafe" not in seen.page.locator("meta[http-equiv]").get_attribute("content")
    assert SCRIPT in seen.page.locator("#rows-list").inner_text()
    assert "U+202E" in seen.page.locator("#rows-list").inner_text()
    assert "\u202e" not in seen.page.content()


def test_the_verdict_is_a_word_and_comes_first(made: Made, show: Callable[..., Seen]) -> None:
    page = show(made.report).page
    verdict = page.locator(".verdict")
    assert verdict.locator(".state").inner_text() == made.results["verdict"].upper()
    assert verdict.bounding_box()["y"] < page.locator("table").first.bounding_box()["y"]
    assert page.locator(".reasons li").count() == len(made.results["reasons"])


def test_every_chart_is_drawn(made: Made, show: Callable[..., Seen]) -> None:
    page = show(made.report).page
    charts = page.locator(".chart")
    # Two graders, two datasets with one threshold, and the balance of the three datasets that have thresholds.
    assert charts.count() == 7
    for index in range(charts.count()):
        marks = charts.nth(index).locator("svg g.mark-rect path, svg g.mark-symbol path")
        assert marks.count() > 1
        assert all(box["width"] > 0 and box["height"] > 0 for box in (each.bounding_box() for each in marks.all()[:3]))


@pytest.mark.parametrize(("index", "grader", "own"), [(0, "stepped", 3.5), (1, "fine", 0.6251)])
def test_moving_the_slider_counts_what_python_counts(
    made: Made, show: Callable[..., Seen], index: int, grader: str, own: float
) -> None:
    seen = show(made.report)
    page, table = seen.page, f"threshold-{index}-table"
    slider = page.get_by_label("What another threshold would keep").nth(index)
    chart = page.locator(".what-if .chart").nth(index)
    counted = made.results["datasets"]["good" if index == 0 else "finer"]["categories"]
    slider.focus()
    page.keyboard.press("Home")
    stops = int(slider.get_attribute("max")) + 1
    assert stops >= 11
    for stop in range(stops):
        if stop:
            page.keyboard.press("ArrowRight")
        threshold = float(page.locator(f"#threshold-{index}-value").inner_text().removeprefix("≥ "))
        found = cells(page, table)
        assert found.pop("") == expected(made, grader, threshold, own, None), threshold
        assert set(found) == {shown_as(name) for name in counted}
        for name in counted:
            assert found[shown_as(name)] == expected(made, grader, threshold, own, name), (threshold, name)
        # The chart follows: its line says the threshold, and the bars at or above it are those in the strong colour.
        page.wait_for_function(
            "([chart, text]) => chart.textContent.includes(text)",
            arg=[chart.element_handle(), f"≥ {threshold:g}"],
        )
        scores = [bar["score"] for bar in made.results["datasets"]["good" if index == 0 else "finer"]["scores"]]
        strong = chart.locator("g.mark-rect path[fill='var(--kept)']")
        assert strong.count() == sum(1 for score in scores if score >= threshold)
    page.get_by_role("button", name=f"back to {own:g}").click()
    assert cells(page, table)[""] == expected(made, grader, own, own, None)
    assert seen.said == []


def test_the_line_of_the_threshold_moves(made: Made, show: Callable[..., Seen]) -> None:
    page = show(made.report).page
    line = page.locator(".what-if .chart").first.locator("g.mark-rule.role-mark line")
    before = line.bounding_box()["x"]
    page.get_by_label("What another threshold would keep").first.press("ArrowLeft")
    page.wait_for_function(
        "([line, x]) => line.getBoundingClientRect().x < x - 10", arg=[line.element_handle(), before]
    )


def test_search_and_filters_choose_rows(made: Made, show: Callable[..., Seen]) -> None:
    page = show(made.report).page
    rows = page.locator("#rows-list .row:visible")
    every = page.locator("#rows-list .row").count()
    assert rows.count() == 20
    search = page.get_by_label("Search", exact=True)
    ids = "#rows-list .row{} dd:first-of-type code"
    held = set(page.locator(ids.format("")).all_text_contents())
    quoted = {
        row["id"]: row for dataset in made.results["datasets"].values() for row in dataset["near"] if row["id"] in held
    }
    texts = {
        key: " ".join(row[field] or "" for field in ("instruction", "input", "response")) for key, row in quoted.items()
    }
    search.fill("ONERROR gpj.exe")
    wanted = {key for key, text in texts.items() if "onerror" in text and "gpj.exe" in text}
    assert 0 < len(wanted) < min(20, every)
    assert set(page.locator(ids.format(":visible")).all_text_contents()) == wanted
    assert page.locator("#rows-count").inner_text() == f"{len(wanted)} of {len(wanted)} rows"
    search.fill("no row has these words")
    assert rows.count() == 0
    search.fill("")
    while page.locator("#rows-more").is_visible():
        page.locator("#rows-more").click()
    assert rows.count() == every
    page.get_by_label("Dataset", exact=True).select_option("finer")
    page.get_by_label("Fate", exact=True).select_option("below_threshold")
    near = made.results["datasets"]["finer"]["near"]
    wanted = {row["id"] for row in near if row["fate"] == "below_threshold"} & held
    while page.locator("#rows-more").is_visible():
        page.locator("#rows-more").click()
    assert wanted
    assert set(page.locator(ids.format(":visible")).all_text_contents()) == wanted
    assert set(page.locator("#rows-list .row:visible summary .of").all_text_contents()) == {"finer"}
    assert set(page.locator("#rows-list .row:visible summary .fate").all_text_contents()) == {"below threshold"}


def test_no_more_rows_are_quoted_than_the_recipe_allows(made: Made, show: Callable[..., Seen], tmp_path: Path) -> None:
    results = {**made.results, "settings": {"samples": 7, "examples": 0}}
    file = tmp_path / "report.html"
    file.write_text(page_of(results), encoding="utf-8")
    assert show(file).page.locator("#rows-list .row").count() == 7
    file.write_text(page_of({**results, "settings": {"samples": 0, "examples": 0}}), encoding="utf-8")
    page = show(file).page
    assert page.locator("#rows").count() == 0
    assert "gpj.exe" not in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_screen_and_charts_follow_the_colours(
    made: Made, show: Callable[..., Seen], scheme: str, width: int
) -> None:
    page = show(made.report, viewport={"width": width, "height": 800}, color_scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for chart in page.locator(".chart svg").all():
        box = chart.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    seen = page.evaluate(
        "() => [getComputedStyle(document.documentElement).backgroundColor, "
        "getComputedStyle(document.querySelector('g.mark-rect path')).fill]"
    )
    light = ["rgb(255, 255, 255)", "rgb(43, 106, 155)"]
    assert (seen == light) == (scheme == "light")


def test_the_report_works_with_the_keyboard_alone(made: Made, show: Callable[..., Seen]) -> None:
    page = show(made.report).page
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        element, outline = page.evaluate(
            "() => { const at = document.activeElement; return [at.id || at.className || at.tagName, getComputedStyle(at).outlineStyle]; }"
        )
        assert outline != "none", element
        reached.add(element)
        if "rows-open" in reached:
            break
    assert {"threshold-0", *(f"rows-{name}" for name in ("search", "dataset", "fate", "category", "open"))} <= reached
    unlabelled = "() => [...document.querySelectorAll('input, select')].filter(each => !each.labels.length).length"
    assert page.evaluate(unlabelled) == 0


def test_the_report_is_readable_without_scripts(made: Made, show: Callable[..., Seen]) -> None:
    page = show(made.report, drawn=False, java_script_enabled=False).page
    text = page.locator("body").inner_text()
    good = made.results["datasets"]["good"]
    assert f"{good['rows']:,}" in page.locator("#datasets table").inner_text()
    assert "need JavaScript" in text
    assert page.locator("#rows-list .row:visible").count() == page.locator("#rows-list .row").count() > 20
    assert page.locator(".needs-script:visible").count() == 0
    whole = page.locator("#threshold-0-table tbody tr").first.locator("td:visible").all_inner_texts()
    assert whole == expected(made, "stepped", 3.5, 3.5, None)[:4]


def test_a_hostile_reply_runs_no_script(made: Made, show: Callable[..., Seen], tmp_path: Path) -> None:
    good = made.results["datasets"]["good"]
    near = [{**row, "reply": f"3\n{HOSTILE[index % len(HOSTILE)]}"} for index, row in enumerate(good["near"])]
    results = {**made.results, "datasets": {"good": {**good, "near": near}}}
    file = tmp_path / "report.html"
    file.write_text(page_of(results), encoding="utf-8")
    seen = show(file)
    seen.page.get_by_role("button", name="open all").click()
    seen.page.get_by_label("Search", exact=True).fill("window.pwned")
    assert "reply of the grader" in seen.page.locator("#rows-list").inner_text()
    assert seen.page.evaluate("typeof window.pwned") == "undefined"
    assert seen.said == []


def test_a_run_that_ended_early_has_a_page_too(show: Callable[..., Seen], tmp_path: Path) -> None:
    reason = {"state": "error", "text": f"grading stopped: {SCRIPT}", "place": ""}
    recipe = {"name": "early", "title": "", "file": "recipe.yaml"}
    results = {
        "version": 1,
        "recipe": recipe,
        "verdict": "error",
        "reasons": [reason],
        "source": {"rows": 0},
        "datasets": {},
    }
    file = tmp_path / "report.html"
    file.write_text(page_of(results), encoding="utf-8")
    seen = show(file)
    assert seen.page.locator(".verdict").inner_text().startswith("ERROR")
    assert SCRIPT in seen.page.locator(".reasons").inner_text()
    assert seen.said == []
    assert file.stat().st_size < 60_000
