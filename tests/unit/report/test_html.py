"""The HTML report as text: what may run, what no row can become, what is left out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from found import report
from hostile_report import EVIL, made, parsed

from alpaqual.errors import MachineError
from alpaqual.report import html as page
from alpaqual.report.html import to_html


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
    assert not {key for _, attributes in elements.seen for key in attributes if key.startswith("on") or key == "style"}
    assert {attributes["href"][:1] for name, attributes in elements.seen if name == "a" and attributes["href"]} == {"#"}


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
        return [f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'" for each in contents]

    assert said.pop("script-src").split() == hashes(bodies)
    assert said.pop("style-src").split() == hashes(styles)
    assert said == {"default-src": "'none'", "base-uri": "'none'", "form-action": "'none'"}


@pytest.mark.usefixtures("without_charts")
def test_the_data_is_json_that_holds_nothing_that_html_reads() -> None:
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', to_html(made()), re.DOTALL)
    assert data.isascii()
    assert not re.search("[<>&]", data)
    held = json.loads(data)
    assert len(held["charts"]) == 4
    assert held["thresholds"][0]["groups"][0] == {"eligible": 10, "kept": [9, 9, 9, 9, 9, 3, 3, 3, 3, 3, 1]}


@pytest.mark.usefixtures("without_charts")
@pytest.mark.parametrize("gone", ["graders", "categories", "rules", "expectations", "provenance", "settings"])
def test_a_section_without_content_is_left_out(gone: str) -> None:
    everything = made().results.to_dict()
    dataset = {**everything["datasets"]["good"], "scores": [], "categories": {}, "near": []}
    results = {key: value for key, value in everything.items() if key != gone}
    written = to_html(report({**results, "datasets": {"good": dataset}}))
    section = {"settings": "rows"}.get(gone, gone)
    assert f'id="{section}"' not in written
    parsed(written)


def test_a_run_that_ended_early_needs_no_charting_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "_charting", lambda: pytest.fail("nothing is drawn"))
    early = {"version": 1, "verdict": "error", "source": {"rows": 0}, "datasets": {}}
    reasons = [{"state": "error", "text": EVIL, "place": ""}]
    recipe = {"name": "early", "title": "", "file": "recipe.yaml"}
    written = to_html(report({**early, "reasons": reasons, "recipe": recipe}))
    parsed(written)
    assert ">ERROR</span>" in written


def test_a_missing_charting_library_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


@pytest.mark.slow
def test_writing_a_report_imports_nothing_heavy() -> None:
    code = (
        "import sys; from alpaqual.report.html import to_html; from alpaqual.report.notebook import to_notebook; "
        "print([name for name in ('altair', 'jinja2', 'pandas', 'polars', 'duckdb', 'numpy') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
