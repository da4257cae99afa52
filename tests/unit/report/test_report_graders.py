"""What reports say of graders: costs only of those that ask, checks in the order of their weight, maps that can be read."""

from __future__ import annotations

import json
from typing import Any

from found import found
from found import report as made
from hostile_report import EVIL, parsed

from alpaqual.report.charts import confusion_map
from alpaqual.report.graders import (
    cascade_sentence,
    checks,
    confusion,
    money_sentences,
    scores_from,
    tally,
    unscored_reasons,
)
from alpaqual.report.html_charts import Charts
from alpaqual.report.html_graders import graders_section
from alpaqual.report.markdown_graders import graders_table as graders_table_of
from alpaqual.report.markdown_graders import health as health_of
from alpaqual.results.graders import GraderResult

COLUMN: dict[str, Any] = {
    "dimension": "accuracy",
    "source": "column s",
    "models": [],
    "scale": {"min": 0.0, "max": 5.0, "step": 0.5},
    "rows": 100,
    "scored": 98,
    "unscored": 2,
    "unscored_reasons": {"out of scale": 2},
    "calls_made": 0,
    "calls_reused": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "cost_usd": 0.0,
    "bought_usd": 0.0,
    "calls_per_second": 0.0,
    "histogram": [],
    "health": [],
    "agreement": None,
    "cascade": None,
}
ASKED = {
    **COLUMN,
    "source": "openai/gpt-4o-mini",
    "models": ["openai/gpt-4o-mini"],
    "calls_made": 60,
    "calls_reused": 40,
    "input_tokens": 31_000,
    "output_tokens": 200,
    "cost_usd": 1.234,
    "bought_usd": 0.0042,
    "calls_per_second": 12.5,
}


def graders(found_of: dict[str, Any]) -> dict[str, GraderResult]:
    return {name: found(GraderResult, **each) for name, each in found_of.items()}


def graders_table(found_of: dict[str, Any]) -> str:
    return graders_table_of(graders(found_of))


def health(found_of: dict[str, Any]) -> str:
    return health_of(graders(found_of))


def section(found_of: dict[str, Any], charts: Charts) -> str:
    return graders_section(made({"graders": found_of}).results, charts)


def checked(check: str, state: str, **more: Any) -> dict[str, Any]:
    return {"check": check, "value": 0.5, "warn": None, "fail": None, "state": state, "text": f"found {check}", **more}


def agreeing(*cells: tuple[float, float, int], **more: Any) -> dict[str, Any]:
    confused = [{"score": score, "other": other, "rows": rows} for score, other, rows in cells]
    return {**ASKED, "agreement": {"with": "human", "this_only": 0, "other_only": 0, "confusion": confused, **more}}


# Markdown


def test_graders_without_requests_have_no_costs() -> None:
    assert graders_table({"g": COLUMN}).splitlines()[2:] == [
        "| grader | scores from | scored | unscored |",
        "| :-- | :-- | --: | --: |",
        "| g | column s | 98 | 2 (out of scale 2) |",
    ]
    assert health({"g": COLUMN}) == ""
    assert graders_table({}) == ""


def test_calls_cost_and_rate_of_a_grader() -> None:
    text = graders_table({"g": COLUMN, "m": ASKED})
    head, _, column, model = text.splitlines()[2:]
    assert head.endswith(
        "| calls made | replies reused | tokens in | tokens out | cost of this run | original cost of reused replies | calls a second |"
    )
    assert column.endswith("| – | – | – | – | – | – | – |")
    assert model.endswith("| 60 | 40 | 31,000 | 200 | $1.23 | $0.0042 | 12.5 |")


def test_a_model_without_a_price_is_named_without_what_becomes_of_its_scores() -> None:
    grader = found(GraderResult, **{**ASKED, "source": "openai/judge-7b, mean of the turns", "priced": False})
    assert money_sentences("m", grader) == [
        "The cost of m is unknown: no price is listed for openai/judge-7b, and the recipe has no 'price:'."
    ]


def test_the_rate_is_shown_where_calls_were_made() -> None:
    reused = {**ASKED, "calls_made": 0, "calls_reused": 100, "calls_per_second": 0.0}
    assert "calls a second" not in graders_table({"m": reused})


def test_models_and_reasons_are_quoted_however_hostile_and_however_many() -> None:
    grader = {**ASKED, "models": [EVIL] * 9, "unscored_reasons": {f"{EVIL} | {n}": n + 1 for n in range(30)}}
    text = graders_table({"m": grader})
    assert "<" not in text
    assert "25 more reasons" in text
    assert len(text.encode()) < 4_000
    assert len({line.count(" | ") for line in text.splitlines()[2:]}) == 1


def test_of_many_graders_and_checks_the_rest_is_counted() -> None:
    many = {f"g{n}": {**ASKED, "health": [checked("length", "pass")]} for n in range(80)}
    assert "… and 30 more graders." in graders_table(many)
    assert "… and 30 more checks." in health(many)


def test_failures_come_first_and_passes_are_folded() -> None:
    found_of = {
        "a": {**ASKED, "health": [checked("length", "pass"), checked("golden", "warn", warn="above 5%")]},
        "b": {**ASKED, "health": [checked("agreement.kappa", "fail", fail="below 0.6")]},
    }
    text = health(found_of)
    before, _, after = text.partition("<details>")
    assert [line.split(" | ")[1] for line in before.splitlines() if "| found " in line][1:] == [
        "agreement: kappa",
        "golden",
    ]
    assert "<summary>Grader health: 3 checks, 1 failed, 1 with a warning</summary>" in after
    assert "| a | length | ✅ pass | found length | – | – |" in after
    assert "- **length**: +1: longer responses always score higher" in after
    assert "repeats" not in after


def test_where_all_is_well_there_is_one_folded_line() -> None:
    text = health({"a": {**ASKED, "health": [checked("length", "pass", warn="beyond ±0.3")]}})
    assert text.startswith(
        "### Grader health\n\n<details><summary>Grader health: 1 check, all within their limits</summary>"
    )
    assert "no limits are set" in health({"a": {**ASKED, "health": [checked("length", "pass")]}})


def test_the_table_of_both_scores() -> None:
    text = health({"mine": agreeing((4.0, 4.0, 1200), (4.5, 4.0, 30), (5.0, 3.0, 1), this_only=7)})
    assert "<summary>Scores of mine and of human for the same rows</summary>" in text
    assert "Both scored 1,231 rows, 1,200 (97.5%) the same, 1,230 (99.9%) the same or one step (0.5) apart." in text
    assert "Of the other rows, mine alone scored 7." in text
    assert text[text.index("| mine") :].splitlines()[:6] == [
        "| mine ↓ human → | 3 | 4 | 4.5 | 5 |",
        "| :-- | --: | --: | --: | --: |",
        "| 5 | 1 |  |  | · |",
        "| 4.5 |  | 30 | · |  |",
        "| 4 |  | **1,200** |  |  |",
        "| 3 | · |  |  |  |",
    ]


def test_a_table_of_very_many_scores_is_left_to_the_page() -> None:
    text = health({"mine": agreeing(*((float(score), float(score), 1) for score in range(22)))})
    assert "The table of all 22 scores is in report.html." in text
    assert "↓" not in text


def test_a_report_of_an_older_run_is_still_written() -> None:
    newer = ("health", "agreement", "cascade", "bought_usd", "calls_per_second")
    older = {key: value for key, value in ASKED.items() if key not in newer}
    assert "$0.00" in graders_table({"m": older})
    assert health({"m": older}) == ""
    assert "Grader health" not in section({"m": older}, Charts())


# HTML


def test_the_page_shows_costs_of_graders_with_requests_alone() -> None:
    page = section({"g": COLUMN}, Charts())
    assert "calls" not in page
    assert "cost" not in page
    assert "Grader health" not in page
    both = section({"g": COLUMN, "m": ASKED}, Charts())
    assert both.count(">$1.23<") == 1
    assert both.count("<table>") == 2


def test_the_page_is_complete_with_any_reply() -> None:
    grader = {
        **agreeing((4.0, 4.0, 3), (4.5, 4.0, 2)),
        "models": [EVIL],
        "unscored_reasons": {EVIL: 2},
        "health": [checked("length", "warn", text=EVIL, warn=EVIL), checked(EVIL, "pass")],
        "cascade": {"first": EVIL, "asked": 1, "taken_over": 1, "saved_calls": 1, "saved_usd": None},
    }
    charts = Charts()
    elements = parsed(section({EVIL: grader}, charts))
    assert {name for name, _ in elements.seen}.isdisjoint({"script", "img"})
    assert len(charts.specs) == 1


# The map


def test_the_map_has_a_cell_for_each_pair_and_a_frame_for_each_score() -> None:
    spec = confusion_map({(4.0, 3.0): 2, (3.0, 3.0): 20}, (3.0, 4.0), name="mine", other="human")
    cells, frames, words = spec["layer"]
    assert [(cell["score"], cell["other"], cell["rows"], cell["strong"]) for cell in cells["data"]["values"]] == [
        (3.0, 3.0, 20, True),
        (4.0, 3.0, 2, False),
    ]
    assert frames["data"]["values"] == [{"score": 3.0, "other": 3.0}, {"score": 4.0, "other": 4.0}]
    assert words["encoding"]["text"] == {"field": "shown"}
    assert cells["encoding"]["y"]["scale"]["domain"] == [4.0, 3.0]
    json.dumps(spec)


def test_a_large_map_has_no_numbers_and_is_not_taller_than_a_screen() -> None:
    scores = tuple(float(score) for score in range(101))
    spec = confusion_map({(score, score): 1 for score in scores}, scores, name="a", other="b")
    assert len(spec["layer"]) == 2
    assert spec["height"] <= 560


# Words


def test_a_model_that_answers_by_another_name_is_named() -> None:
    assert scores_from(found(GraderResult, **ASKED)) == "openai/gpt-4o-mini"
    dated = {**ASKED, "models": ["openai/gpt-4o-mini", "openai/gpt-4o-mini-2024-07-18"]}
    assert scores_from(found(GraderResult, **dated)) == "openai/gpt-4o-mini (answered by openai/gpt-4o-mini-2024-07-18)"


def test_the_reasons_of_most_rows_come_first() -> None:
    reasons = {"b": 1, "a": 1, "c": 9}
    assert unscored_reasons(found(GraderResult, unscored_reasons=reasons)) == ([("c", 9), ("a", 1), ("b", 1)], 0)


def test_what_a_cascade_saved_in_words() -> None:
    cascade = {"first": "cheap", "asked": 40, "taken_over": 60, "saved_calls": 60, "saved_usd": 1.5}
    said = (
        "The grader expensive graded 40 of 100 rows: the other 60 kept the score that cheap gave, which saved 60 calls"
    )
    assert cascade_sentence("expensive", found(GraderResult, cascade=cascade)) == (
        f"{said} (about $1.50 at the mean cost of a call)."
    )
    assert cascade_sentence("expensive", found(GraderResult, cascade={**cascade, "saved_usd": None})) == f"{said}."
    assert cascade_sentence("expensive", found(GraderResult, **COLUMN)) == ""


def test_checks_are_ordered_by_their_state() -> None:
    every = checks(
        graders({"a": {"health": [checked("length", "pass"), checked("golden", "fail", fail="x")]}, "b": {}})
    )
    assert [check.check for _, check in every] == ["golden", "length"]
    assert tally(every) == "2 checks, 1 failed"


def test_without_common_scores_there_is_no_table() -> None:
    assert confusion("a", found(GraderResult, **agreeing())) is None
    assert confusion("a", found(GraderResult, **COLUMN)) is None
