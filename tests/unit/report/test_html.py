"""The HTML report as text: what is escaped, what may run, what is counted, what is left out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from alpaqual.errors import MachineError
from alpaqual.report import html as page
from alpaqual.report.charts import bars, histogram, what_if
from alpaqual.report.html import gap, near_rows, percent, plain, tag, text, to_html
from alpaqual.report.notebook import to_notebook
from alpaqual.report.report import Report

EVIL = "</script><script>window.pwned=1</script><img src=x onerror=alert(1)>]]>&amp;\u2028\u202e\x00"
VOID = {"meta", "input"}


def made(**changes: Any) -> Report:
    """A small report in which every text is hostile."""
    scale = {"min": 0.0, "max": 5.0, "step": 0.5}
    fates = {
        "kept": 4,
        "below_threshold": 5,
        "unscored": 1,
        "removed_by_rule": 2,
        "removed_by_quota": 0,
        "not_sampled": 0,
    }
    counts = {
        "eligible": 5,
        "rows": 3,
        "at_threshold": 2,
        "below_threshold": 1,
        "shortfall": 1,
        "fates": {"kept": 3},
    }
    near = {"score": 4.5, "fate": "kept", "reasons": [EVIL], "categories": [EVIL], "reply": EVIL}
    dataset = {
        "rows": 4,
        "eligible": 10,
        "at_threshold": 3,
        "below_threshold": 1,
        "shortfall": 1,
        "threshold": {"accuracy": 4.5},
        "from": None,
        "fates": fates,
        "quotas": [
            {
                "category": EVIL,
                "limit": "min_rows",
                "asked": 4,
                "wanted": 4,
                "rows": 3,
                "shortfall": 1,
                "state": "fail",
            }
        ],
        "categories": {EVIL: counts},
        "scores": [{"score": 2.0, "rows": 6}, {"score": 4.5, "rows": 2}, {"score": 5.0, "rows": 1}],
        "category_scores": [
            {"category": EVIL, "score": 2.0, "rows": 3},
            {"category": EVIL, "score": 5.0, "rows": 2},
        ],
        "near": [{"id": "a" * 32, "instruction": EVIL, "input": EVIL, "response": EVIL, **near}],
    }
    grader = {
        "dimension": EVIL,
        "source": EVIL,
        "models": [EVIL],
        "scale": scale,
        "scored": 9,
        "unscored": 1,
        "unscored_reasons": {EVIL: 1},
        "histogram": dataset["scores"],
        **dict.fromkeys(("calls_made", "calls_reused", "input_tokens", "output_tokens", "cost_usd"), 0),
    }
    rule = {"id": "short", "state": "fail", "failing_rows": 2, "warn": None, "fail": 0, "drop": True}
    results = {
        "version": 1,
        "recipe": {"name": EVIL, "title": EVIL, "file": EVIL},
        "source": {
            "rows": 12,
            "sources": [{"name": EVIL, "path": EVIL, "format": "csv", "rows": 12, "quarantined": 1}],
        },
        "verdict": "fail",
        "reasons": [{"state": "fail", "text": EVIL, "place": EVIL}],
        "rules": [{**rule, "column": EVIL, "description": EVIL, "place": EVIL}],
        "categories": {EVIL: {"rows": 5, "keyword_hits": 7, "keywords": {EVIL: 7}, "description": EVIL}},
        "graders": {"accuracy": grader},
        "datasets": {"good": dataset},
        "expectations": [{"text": EVIL, "state": "pass", "value": None, "place": EVIL}],
        "provenance": {
            "alpaqual": "0",
            "sources": [{"name": EVIL, "sha256": [EVIL]}],
            "stages": {EVIL: EVIL},
        },
        "settings": {"samples": 100, "examples": 1},
    }
    results["source"]["quarantine_examples"] = [{"line": EVIL, "reason": None}]
    return Report({**results, **changes}, {"short": [{"id": EVIL, "column": EVIL, "value": EVIL}]})


class Elements(HTMLParser):
    """The elements of a page, and whether each that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Elements:
    elements = Elements()
    elements.feed(text)
    elements.close()
    assert elements.open == []
    return elements


@pytest.fixture
def without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the charting library, so that these tests need no built package."""
    monkeypatch.setattr(page, "_charting", lambda: "window.vegaEmbed = null;")


@pytest.mark.usefixtures("without_charts")
def test_hostile_texts_make_no_element_and_no_attribute() -> None:
    elements = parsed(to_html(made()))
    names = [name for name, _ in elements.seen]
    assert names.count("script") == 3
    assert "img" not in names
    assert not {
        key for _, attributes in elements.seen for key in attributes if key.startswith("on") or key == "style"
    }
    assert {
        attributes["href"][:1] for name, attributes in elements.seen if name == "a" and attributes["href"]
    } == {"#"}


@pytest.mark.usefixtures("without_charts")
def test_no_hidden_character_reaches_the_page() -> None:
    written = to_html(made())
    assert not [character for character in "\u2028\u202e\x00" if character in written]
    assert written.count("U+202E") > 20
    written.encode()
    to_html(made(recipe={"name": "\ud800", "title": "", "file": "x"})).encode()


@pytest.mark.usefixtures("without_charts")
def test_the_policy_names_the_hash_of_every_script_and_style_and_allows_nothing_else() -> None:
    written = to_html(made())
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', written)
    said = dict(each.strip().split(" ", 1) for each in policy.split(";"))
    bodies = re.findall(r'<script type="module">(.*?)</script>', written, re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", written, re.DOTALL)

    def hashes(contents: list[str]) -> list[str]:
        return [
            f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'"
            for each in contents
        ]

    assert said.pop("script-src").split() == hashes(bodies)
    assert said.pop("style-src").split() == hashes(styles)
    assert said == {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}


@pytest.mark.usefixtures("without_charts")
def test_the_data_is_json_that_holds_nothing_that_html_reads() -> None:
    (data,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', to_html(made()), re.DOTALL
    )
    assert data.isascii()
    assert not re.search("[<>&]", data)
    held = json.loads(data)
    assert len(held["charts"]) == 3
    assert held["thresholds"][0]["groups"][0] == {"eligible": 10, "kept": [9, 9, 9, 9, 9, 3, 3, 3, 3, 3, 1]}


@pytest.mark.usefixtures("without_charts")
@pytest.mark.parametrize("gone", ["graders", "categories", "rules", "expectations", "provenance", "settings"])
def test_a_section_without_content_is_left_out(gone: str) -> None:
    report = made()
    dataset = {**report.results["datasets"]["good"], "scores": [], "categories": {}, "near": []}
    results = {key: value for key, value in report.results.items() if key != gone}
    written = to_html(Report({**results, "datasets": {"good": dataset}}, {}))
    section = {"settings": "rows"}.get(gone, gone)
    assert f'id="{section}"' not in written
    parsed(written)


def test_a_run_that_ended_early_needs_no_charting_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_charting", lambda: pytest.fail("nothing is drawn"))
    early = {"version": 1, "verdict": "error", "source": {"rows": 0}, "datasets": {}}
    reasons = [{"state": "error", "text": EVIL, "place": ""}]
    recipe = {"name": "early", "title": "", "file": "recipe.yaml"}
    written = to_html(Report({**early, "reasons": reasons, "recipe": recipe}, {}))
    parsed(written)
    assert ">ERROR</span>" in written


def test_a_missing_charting_library_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("report.js", "report.css"):
        (tmp_path / name).write_text("", encoding="utf-8")
    monkeypatch.setattr(page, "_ASSETS", tmp_path)
    page._asset.cache_clear()
    page._charting.cache_clear()
    try:
        with pytest.raises(MachineError, match="pip install alpaqual"):
            to_html(made())
    finally:
        page._asset.cache_clear()
        page._charting.cache_clear()


def test_an_inlined_library_cannot_end_its_element(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "vega.js").write_text("const a = '</SCRIPT>', b = '<!--', c = '<script';", encoding="utf-8")
    monkeypatch.setattr(page, "_ASSETS", tmp_path)
    page._asset.cache_clear()
    page._charting.cache_clear()
    try:
        assert page._charting() == r"const a = '\x3c/SCRIPT>', b = '\x3c!--', c = '\x3cscript';"
    finally:
        page._asset.cache_clear()
        page._charting.cache_clear()


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


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<b>&</b>", "&lt;b&gt;&amp;&lt;/b&gt;"),
        ("a\u202eb", 'a<span class="code-point">U+202E</span>b'),
        ("tab\tand\nline", "tab\tand\nline"),
        ("no\u00a0break", "no\u00a0break"),
        ("فارسی 漢字 é", "فارسی 漢字 é"),
        ("\U000e0041", '<span class="code-point">U+E0041</span>'),
    ],
)
def test_text_is_escaped_and_what_hides_is_shown(given: str, shown: str) -> None:
    assert text(given) == shown


def test_attributes_cannot_be_left() -> None:
    assert tag("a", "x", title="\"'><b\u200b") == '<a title="&quot;&#x27;&gt;&lt;b⟨U+200B⟩">x</a>'
    assert plain("as it is") == "as it is"


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [
        (0, 0, "–"),
        (0, 9, "0.0%"),
        (1, 8, "12.5%"),
        (1, 16, "6.3%"),
        (1, 99_999, "<0.1%"),
        (99_998, 99_999, ">99.9%"),
        (7, 7, "100.0%"),
    ],
)
def test_percent(part: int, whole: int, shown: str) -> None:
    assert percent(part, whole) == shown


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [((1, 2, 1, 4), "+25.0"), ((7, 564, 2022, 52002), "−2.6"), ((1, 3, 1, 3), "0.0"), ((0, 0, 1, 2), "–")],
)
def test_gap(numbers: tuple[int, int, int, int], shown: str) -> None:
    assert gap(*numbers) == shown


def test_a_threshold_between_bins_keeps_what_the_run_counted() -> None:
    scale = {"min": 0.0, "max": 1.0, "step": None}
    scores = [{"score": 0.5, "rows": 10}, {"score": 0.6, "rows": 4}]
    dataset = {
        "threshold": {"g": 0.51},
        "scores": scores,
        "category_scores": [],
        "categories": {},
        "eligible": 20,
        "at_threshold": 9,
    }
    found = what_if(dataset, {"g": {"scale": scale}}, 10)
    assert found is not None
    assert dict(zip(found.stops, found.groups[0].kept, strict=True)) == {0.5: 14, 0.51: 9, 0.6: 4}
    assert found.stops[found.start] == 0.51


def test_two_thresholds_have_no_slider() -> None:
    assert what_if({"threshold": {"a": 1, "b": 1}, "scores": [{"score": 1, "rows": 1}]}, {}, 10) is None


def test_the_line_of_a_threshold_stands_left_of_the_bars_it_keeps() -> None:
    scale = {"min": 0, "max": 1, "step": None}
    found = bars([{"score": 0.0, "rows": 3}, {"score": 1.0, "rows": 1}], scale)
    kept = found.values[1]
    assert kept["begin"] > kept["score"] - found.before > found.values[0]["end"]
    drawn = histogram([{"score": 0.0, "rows": 3}, {"score": 1.0, "rows": 1}], scale, title="t", threshold=1)
    assert drawn["params"] == [{"name": "threshold", "value": 1}]


@pytest.mark.parametrize(
    "scores", [[], [{"score": 3.0, "rows": 1}], [{"score": 9.0, "rows": 1}, {"score": -2.0, "rows": 1}]]
)
@pytest.mark.parametrize(
    "scale", [{"min": 0, "max": 5, "step": 0.5}, {"min": 0, "max": 5, "step": None}, {"min": 1, "max": 1}]
)
def test_bars_lie_on_their_axis(scores: list[dict[str, Any]], scale: dict[str, Any]) -> None:
    found = bars(scores, scale)
    for bar in found.values:
        assert found.domain[0] <= bar["begin"] < bar["end"] <= found.domain[1]


def test_rows_near_thresholds_are_shared_out_and_merged() -> None:
    def near(first: int, threshold: float) -> dict[str, Any]:
        texts = {
            "instruction": "",
            "input": "",
            "response": "",
            "reply": None,
            "reasons": [],
            "categories": None,
        }
        rows = [{"id": f"{n:02}", "score": n / 2, "fate": "kept", **texts} for n in range(first, first + 10)]
        return {"threshold": {"g": threshold}, "near": rows}

    datasets = {"one": near(0, 2.5), "two": near(4, 4.5), "none": {"threshold": {}, "near": []}}
    rows = near_rows(datasets, 6)
    assert len({row["id"] for row in rows}) == len(rows) == 6
    assert rows[0]["id"] == "05"
    assert {"04", "05", "08", "09"} <= {row["id"] for row in rows}
    assert {row["id"]: [each["dataset"] for each in row["standings"]] for row in rows}["05"] == ["one", "two"]
    assert near_rows(datasets, 0) == []
    assert len(near_rows(datasets, 1000)) == 14


def test_writing_a_report_imports_nothing_heavy() -> None:
    code = (
        "import sys; from alpaqual.report.html import to_html; from alpaqual.report.notebook import to_notebook; "
        "print([name for name in ('altair', 'jinja2', 'pandas', 'polars', 'duckdb', 'numpy') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
