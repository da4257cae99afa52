"""The formats of a report are one table: the command line, the API and the run folder read it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_report import made

from alpaqual import registry
from alpaqual.errors import MachineError
from alpaqual.report import html as page
from alpaqual.report.formats import format_names, report_files, report_text
from alpaqual.results.file import results_text

MODULE = '''
"""A report as one line of text."""


class Line:
    FILE = "line.txt"

    def text(self, report):
        return f"{report.verdict} {report.results.source.rows}\\n"
'''


@pytest.mark.parametrize("name", registry.own_names("report_formats"))
def test_every_format_writes_a_text_and_says_where(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(page, "_charting", lambda: "")
    written = report_text(made(), name)
    assert written.endswith("\n")
    assert report_text(made(), name) == written
    assert registry.find("report_formats", name).__doc__.endswith(".")


def test_the_run_folder_has_three_of_them() -> None:
    assert report_files() == {"html": "report.html", "junit": "junit.xml", "md": "report.md"}


def test_json_is_the_results() -> None:
    report = made()
    assert report_text(report, "json") == results_text(report.results)
    assert json.loads(report_text(report, "json"))["verdict"] == "fail"


def test_an_unknown_format_says_which_there_are() -> None:
    with pytest.raises(MachineError, match=r"no plug-in 'pdf' .*github, html, json, junit, md"):
        report_text(made(), "pdf")
    assert set(format_names()) >= {"github", "html", "json", "junit", "md"}


@pytest.mark.slow
def test_a_format_of_another_package_is_written_and_can_be_chosen(tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "lines-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "lines.py").write_text(MODULE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lines\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[alpaqual.report_formats]\nline = lines:Line\n", encoding="utf-8")
    (tmp_path / "data.jsonl").write_text('{"instruction": "a", "output": "b"}\n' * 3, encoding="utf-8")
    recipe = "version: 1\nname: t\nsources: [{path: data.jsonl}]\ndatasets: {full: {}}\n"
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); from alpaqual import api; from alpaqual.cli.main import cli\n"
        "api.run('recipe.yaml')\n"
        "cli.main(['report', 'runs/t', '--format', 'line'], standalone_mode=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("pass 3\n", "")
    assert (tmp_path / "runs" / "t" / "line.txt").read_text(encoding="utf-8") == "pass 3\n"
