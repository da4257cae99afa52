"""Writes a report as JUnit XML: one test case for each rule, quota, expectation, dataset and training."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from alpaqual.report.escape import xml
from alpaqual.report.provenance import made_by
from alpaqual.report.report import Report
from alpaqual.report.training import pending
from alpaqual.values import State

_Case = tuple[str, str, State | None, str]
"""Kind, name, state and text; a case without a state counts as skipped."""


def to_junit(report: Report) -> str:
    """Return the report as JUnit XML. Warnings pass, with their text in system-out; a training without a model and a stage that did not run are skipped."""
    cases, results = list(_cases(report)), report.results
    counts = {state: sum(1 for case in cases if case[2] is state) for state in State}
    name = xml(results.recipe.name)
    numbers = {
        "tests": str(len(cases)),
        "failures": str(counts[State.FAIL]),
        "errors": str(counts[State.ERROR]),
        "skipped": str(sum(1 for case in cases if case[2] in (None, State.INCOMPLETE))),
    }
    suites = ElementTree.Element("testsuites", {"name": "alpaqual", **numbers})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": name, **numbers})
    if made := made_by(results):
        properties = ElementTree.SubElement(suite, "properties")
        for label, value in made:
            ElementTree.SubElement(properties, "property", {"name": xml(label), "value": xml(value)})
    for kind, label, state, text in cases:
        case = ElementTree.SubElement(suite, "testcase", {"classname": xml(f"{name}.{kind}"), "name": xml(label)})
        if state in (State.FAIL, State.ERROR):
            tag = "failure" if state is State.FAIL else "error"
            ElementTree.SubElement(case, tag, {"message": xml(text)}).text = xml(text)
        elif state in (None, State.INCOMPLETE):
            ElementTree.SubElement(case, "skipped", {"message": xml(text)})
        elif state is State.WARN:
            ElementTree.SubElement(case, "system-out").text = xml(f"warning: {text}")
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _cases(report: Report) -> Iterator[_Case]:
    results = report.results
    # Beginnings of the reasons that are already a case of a rule, a quota or an expectation.
    shown: set[str] = set()
    for rule in results.rules:
        text = f"{rule.failing_rows} rows fail (warn {rule.warn}, fail {rule.fail}); {rule.place}"
        yield "rules", rule.id, rule.state, text
        shown.add(f"rule {rule.id}:")
    for name, dataset in results.datasets.items():
        for quota in dataset.quotas:
            label = f"{name}: {quota.category} {quota.limit} {quota.asked}"
            yield "quotas", label, quota.state, f"wanted {quota.wanted} rows, has {quota.rows}"
            shown.add(f"dataset {name}: quota {quota.category} {quota.limit} ")
    for expectation in results.expectations:
        yield "expectations", expectation.text, expectation.state, f"found {expectation.value}"
        shown.add(f"expected {expectation.text};")
    without_model = pending(results.training)
    for name in results.training:
        text = f"{name} {without_model[name]}" if name in without_model else ""
        yield "training", name, None if text else State.PASS, text
    for stage, why in results.evaluation.waiting.items() if results.evaluation is not None else ():
        yield "evaluation", stage, None, why
    for reason in results.reasons:
        if not any(reason.text.startswith(start) for start in shown):
            yield "run", reason.text, reason.state, f"{reason.text} {reason.place}".strip()
    if results.verdict is not State.ERROR and results.datasets:
        yield "run", "every row has one fate", State.PASS, ""
