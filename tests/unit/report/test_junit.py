"""JUnit XML and workflow commands: what they say is counted right, and no text breaks out of them."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from found import report as made
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.report.github import MOST, to_github
from alpaqual.report.junit import to_junit
from alpaqual.report.report import Report
from alpaqual.values import State

HOSTILE = [
    "]]><evil/>",
    "<![CDATA[x]]>",
    "\x00\x08\x0b\x1b[31m\ufffe\uffff\ud800",
    "quote \" apos ' amp & lt <",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "line\nbreak\r\n::error::forged\n##[error]forged",
    "\r::set-output name=x::y",
    "%0A::error::forged,line=5",
    "a:b,c::d",
    "\u2028::error::forged\x85::error::forged\x0c::error::forged",
]


def report(text: str = "plain", **changes: Any) -> Report:
    rule = {"failing_rows": 5, "warn": 0, "fail": "5%", "place": f"{text}.yaml:3"}
    quota = {"category": text, "limit": "min_rows", "asked": 5, "wanted": 5, "rows": 3, "shortfall": 2}
    results: dict[str, Any] = {
        "version": 1,
        "verdict": "fail",
        "recipe": {"name": text, "title": text, "file": text},
        "source": {"rows": 60},
        "rules": [{**rule, "id": f"{text}{state}", "state": state} for state in ("fail", "warn", "pass")],
        "datasets": {text: {"quotas": [{**quota, "state": "fail"}, {**quota, "limit": "max_rows", "state": "pass"}]}},
        "expectations": [{"text": f"{text} rows", "state": "warn", "value": 5}],
        "reasons": [
            {"state": "fail", "text": f"rule {text}fail: 5 of 60 rows fail", "place": f"{text}.yaml:3"},
            {"state": "fail", "text": f"dataset {text}: quota {text} min_rows 5 asks for 5 rows and has 3", "place": ""},
            {"state": "fail", "text": f"dataset {text}: no row is selected", "place": f"{text}:7"},
            {"state": "warn", "text": f"rule {text}warn: 5 of 60 rows fail", "place": f"{text}.yaml:3"},
            {"state": "warn", "text": f"expected {text} rows; found 5", "place": f"{text}:9"},
        ],
    }  # fmt: skip
    return made({**results, **changes})


def cases(text: str) -> list[ElementTree.Element]:
    suites = ElementTree.fromstring(text.encode())
    (suite,) = suites
    found = list(suite)
    assert suites.tag == "testsuites"
    assert {case.tag for case in found} == {"testcase"}
    for counted in (suites, suite):
        assert int(counted.attrib["tests"]) == len(found)
        assert int(counted.attrib["failures"]) == sum(case.find("failure") is not None for case in found)
        assert int(counted.attrib["errors"]) == sum(case.find("error") is not None for case in found)
    return found


def test_every_rule_quota_and_expectation_is_one_case() -> None:
    found = [(case.attrib["classname"], case.attrib["name"], [child.tag for child in case]) for case in cases(to_junit(report()))]  # fmt: skip
    assert found == [
        ("plain.rules", "plainfail", ["failure"]),
        ("plain.rules", "plainwarn", ["system-out"]),
        ("plain.rules", "plainpass", []),
        ("plain.quotas", "plain: plain min_rows 5", ["failure"]),
        ("plain.quotas", "plain: plain max_rows 5", []),
        ("plain.expectations", "plain rows", ["system-out"]),
        ("plain.run", "dataset plain: no row is selected", ["failure"]),
        ("plain.run", "every row has one fate", []),
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_in_xml(text: str) -> None:
    wanted = [[child.tag for child in case] for case in cases(to_junit(report()))]
    written = to_junit(report(text))
    assert [[child.tag for child in case] for case in cases(written)] == wanted
    assert to_junit(report(text)) == written
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]", written)


@settings(max_examples=examples(100), deadline=None)
@given(text=st.text(max_size=30))
def test_any_text_stays_text_in_xml(text: str) -> None:
    assert len(cases(to_junit(report(text)))) == 8


def test_a_failed_stage_is_an_error() -> None:
    reasons = [{"state": "error", "text": "loading: it broke", "place": ""}]
    (case,) = cases(to_junit(made({"recipe": {"name": "t"}, "verdict": "error", "reasons": reasons})))
    assert case[0].tag == "error"
    assert case[0].attrib["message"] == "loading: it broke"


# Workflow commands


def lines(text: str) -> list[str]:
    """As GitHub's runner reads output."""
    return re.split(r"\r\n|\r|\n", text)[:-1]


@pytest.mark.parametrize("text", ["plain", *HOSTILE])
def test_no_text_forges_a_workflow_command(text: str) -> None:
    found = lines(to_github(report(text)))
    assert len(found) == 6
    assert [line.partition(" ")[0].partition("::x")[0][:9] for line in found[:5]] == ["::error f", "::error::", "::error f", "::warning", "::warning"] or all(line.startswith(("::error", "::warning")) for line in found[:5])  # fmt: skip
    for line in found[:5]:
        _, head, _ = line.split("::", 2)
        assert re.fullmatch(r"(error|warning)( file=[^,:]*,line=[0-9]+)?", head), line
    assert found[5] == "alpaqual: FAIL (3 failed, 2 warnings)"


def test_places_become_properties() -> None:
    assert lines(to_github(report()))[:3] == [
        "::error file=plain.yaml,line=3::rule plainfail: 5 of 60 rows fail",
        "::error::dataset plain: quota plain min_rows 5 asks for 5 rows and has 3",
        "::error file=plain,line=7::dataset plain: no row is selected",
    ]


def test_no_more_are_written_than_github_shows() -> None:
    reasons = [{"state": state, "text": f"{i}", "place": ""} for state in State for i in range(30)]
    found = lines(to_github(report(reasons=reasons)))
    assert MOST == 10
    assert len(found) <= 3 * MOST + 1
    assert sum(line.startswith("::warning") for line in found) == MOST
