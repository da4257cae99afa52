"""What reports say of an evaluation: findings in words, with their intervals; what limits them; and no text that becomes markup."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from evaluation_results import (
    POOR,
    SKILLS,
    VICUNA,
    capability_of,
    counted,
    entry,
    evaluated,
    everything,
    judged_rows,
    many,
    pair_of,
    size_points,
)
from found import report as results_of
from hostile_report import EVIL, made, parsed
from hypothesis import given, settings
from hypothesis import strategies as st
from test_markdown import HOSTILE, assert_ours
from tiers import examples

from alpaqual.report.charts_evaluation import MOST_LINES, size_chart
from alpaqual.report.evaluation import (
    equal_length,
    finding,
    interval,
    needed,
    one_line,
    own_rule,
    poor_answers,
    rules_differ,
    score,
    sentence,
    summaries,
    unjudged_sentence,
)
from alpaqual.report.evaluation_line import evaluation_line
from alpaqual.report.github import to_github
from alpaqual.report.html import to_html
from alpaqual.report.html_charts import Charts
from alpaqual.report.html_evaluation import evaluation_section
from alpaqual.report.junit import to_junit
from alpaqual.report.markdown import MOST_BYTES, to_markdown
from alpaqual.report.markdown_evaluation import evaluation_sections
from alpaqual.report.radar import Axis, Outline, Ring, radar
from alpaqual.report.report import Report
from alpaqual.report.svg import scale_of
from alpaqual.results.evaluation import EvaluationResult, PairResult
from alpaqual.store.judged_items import JudgedItems

FOUND = """### Evaluation

| pair | test set | items | win | tie | lose | winning score | 95% interval | finding |
| :-- | :-- | --: | --: | --: | --: | --: | --: | :-- |
| quality against full | vicuna | 80 | 40 | 38 | 2 | 1.48 | 1.36 to 1.59 | **helps** |

The winning score is (wins − losses) / items + 1; 1 means as good as the other model.
"""
RING = Ring(low=0, high=2, mark=1, ticks=(0.5, 1, 1.5, 2))


def of(evaluation: Mapping[str, Any]) -> EvaluationResult:
    found = results_of({"evaluation": evaluation}).results.evaluation
    assert found is not None
    return found


def written(evaluation: Mapping[str, Any]) -> str:
    return "\n".join(evaluation_sections(of(evaluation)))


def page(evaluation: Mapping[str, Any]) -> str:
    return evaluation_section(of(evaluation), Charts())


def one(win: int, tie: int, lose: int, **changes: Any) -> dict[str, Any]:
    about = {"a": "quality", "b": "full", "test_set": "vicuna", "judge": "judge", "rule": "paper"}
    return {"rule": "paper", "pairs": [pair_of(counted(win, tie, lose), **{**about, **changes})]}


def pair(win: int, tie: int, lose: int, **changes: Any) -> PairResult:
    return of(one(win, tie, lose, **changes)).pairs[0]


def test_a_pair_is_one_line_of_markdown() -> None:
    assert written(one(40, 38, 2)) == FOUND


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ((40, 38, 2), "helps"),
        ((2, 38, 40), "hurts"),
        ((30, 25, 25), "not shown to help"),
        ((20, 20, 20), "not shown to help"),
        ((0, 0, 0), "nothing is judged"),
    ],
)
def test_the_interval_says_whether_it_helps(counts: tuple[int, int, int], said: str) -> None:
    assert finding(pair(*counts)) == said
    assert said in written(one(*counts))
    assert said in page(one(*counts)) or not sum(counts)


def test_what_is_not_shown_says_how_many_items_would_show_it() -> None:
    said = "about 1,400 items would show this difference"
    assert needed(pair(30, 25, 25)) == said
    assert f"not shown to help ({said})" in written(one(30, 25, 25))
    assert said in page(one(30, 25, 25))
    assert "80 items show a difference of 0.26 in 80% of such comparisons" in page(one(30, 25, 25))
    assert needed(pair(20, 20, 20)) == "wins and losses balance"
    assert needed(pair(40, 38, 2)) == needed(pair(0, 0, 0)) == ""


@given(value=st.floats(0, 2))
def test_a_bound_that_is_not_1_is_not_shown_as_1(value: float) -> None:
    assert (float(score(value)) == 1) == (value == 1 or abs(value - 1) < 5e-7)
    assert float(score(value)) == pytest.approx(value, abs=0.005 + 1e-9)


def test_intervals_and_scores_that_are_not_there_are_dashes() -> None:
    assert score(None) == interval(None) == score(math.nan) == "–"
    assert interval([0.9996, 1.25]) == "0.9996 to 1.25"


def test_a_sentence_has_the_counts() -> None:
    assert sentence(pair(1, 1, 1)).endswith("1 win, 1 tie, 1 loss; wins and losses balance")
    assert sentence(pair(0, 0, 0)) == "quality against full on vicuna: no item is judged"


def test_the_recipes_rule_is_the_one_shown_and_others_that_differ_are_named() -> None:
    found = evaluated({("a", "b"): 0.0}, ("vicuna",))
    for each, counts in zip(found["pairs"], ((40, 38, 2), (30, 25, 25), (41, 37, 2)), strict=True):
        each.update(pair_of(counted(*counts), **{key: each[key] for key in ("a", "b", "test_set", "judge", "rule")}))
    evaluation = of(found)
    assert [each.rule for each in own_rule(evaluation)] == ["paper"]
    assert rules_differ(evaluation) == [
        "By the rule fastchat, a against b: not shown to help (winning score 1.06, 0.88 to 1.24)."
    ]
    text = written(found)
    assert "`paper` | `fastchat` | `mean_score`" in text
    assert "1.48 (40/38/2) | 1.06 (30/25/25) | 1.49 (41/37/2)" in text
    assert "By the rule fastchat" in page(found)
    found["rule"] = "fastchat"
    assert [each.rule for each in own_rule(of(found))] == ["fastchat"]


def test_test_sets_come_before_all_of_them_together() -> None:
    evaluation = of(evaluated({("a", "b"): 0.1, ("a", "c"): 0.1}, ("vicuna", "koala")))
    shown = [(each.b, each.test_set) for each in own_rule(evaluation)]
    assert shown == [("b", "vicuna"), ("b", "koala"), ("b", None), ("c", "vicuna"), ("c", "koala"), ("c", None)]
    assert [(each.b, each.test_set) for each in summaries(evaluation)] == [("b", None), ("c", None)]
    alone = of(evaluated({("a", "b"): 0.1}, ("vicuna",)))
    assert [each.test_set for each in summaries(alone)] == ["vicuna"]


def test_a_flagged_judge_is_named_and_its_findings_are_not_bold() -> None:
    found = evaluated({("a", "b"): 0.2}, ("vicuna",), {"gpt-3.5": POOR})
    text = written(found)
    assert (
        "- ⚠️ The judge **gpt-3.5** is flagged: its two orders agree no more than chance (kappa 0.04): its verdicts cannot be trusted. Rely on none of its findings."
        in text
    )
    assert "| helps (⚠️ judge flagged) |" in text
    assert "**helps**" not in text
    shown = page(found)
    assert "judge flagged" in shown
    assert "shown helps" not in shown.split("<table")[0]
    assert one_line(of(found)).endswith("; the judge 'gpt-3.5' is flagged: rely on none of its findings")


def test_unjudged_items_are_counted_with_their_reasons() -> None:
    found = of(one(3, 2, 1, unjudged=7, unjudged_reasons={"no reply": 2, "no score": 5}))
    assert unjudged_sentence(found) == "7 items are unjudged and in no other number: no score (5), no reply (2)."
    assert unjudged_sentence(of(one(3, 2, 1))) == ""
    assert "unjudged" in page(one(3, 2, 1, unjudged=1)).split("</thead>")[0]


@pytest.mark.parametrize(
    ("cut", "empty", "said"),
    [
        (8, 0, "Of 80 answers of a to vicuna, 8 are cut at the limit of new tokens."),
        (80, 9, "Of 80 answers of a to vicuna, 80 are cut at the limit of new tokens and 9 are empty."),
        (7, 7, None),
    ],
)
def test_many_cut_or_empty_answers_limit_the_findings(cut: int, empty: int, said: str | None) -> None:
    answers = {"model": "a", "test_set": "vicuna", "questions": 80, "answered": 80, "cut": cut, "empty": empty}
    found = {**evaluated({("a", "b"): 0.2}, ("vicuna",)), "answers": [answers]}
    assert poor_answers(of(found)) == ([] if said is None else [said])
    for text in (written(found), page(found)):
        assert ("at the limit of new tokens" in text.split("Judges")[0]) == (said is not None)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ([0.55, 0.61], "58% (55% to 61%)"),
        ([0.02, 0.97], "58% (2% to 97%)"),
        ([0.0, 1.0], "– (not separable from length)"),
        ([1e-9, 1.0], "– (not separable from length)"),
        (None, "58%"),
    ],
)
def test_a_rate_that_may_be_anything_is_no_rate(bounds: list[float] | None, said: str) -> None:
    health = POOR | {"length_controlled_rate": 0.58, "length_controlled_interval": bounds}
    found = evaluated({("a", "b"): 0.2}, ("vicuna",), {"gpt-3.5": health})
    assert equal_length(of(found).judges["gpt-3.5"]) == said
    assert f"| {said} |" in written(found)
    assert ("not separable from length" in page(found)) == ("separable" in said)


@pytest.mark.parametrize("rule", ["paper", "fastchat", "mean_score"])
def test_a_report_says_what_a_win_is_where_judges_saw_both_orders(rule: str) -> None:
    found = evaluated({("a", "b"): 0.2}, ("vicuna",), {"gpt-3.5": POOR}) | {"rule": rule}
    for pair in (*found["pairs"], *found["overall"]):
        pair["rule"] = rule
    assert f"By the rule {rule}, a win is" in written(found)
    assert f"By the rule {rule}, a win is" in page(found)
    judges = {name: {**judge, "order_agreement": None} for name, judge in found["judges"].items()}
    assert "a win is" not in written(found | {"judges": judges})


def test_the_random_control_of_a_model_is_named() -> None:
    said = "random is the random control of quality: as many rows, chosen by chance."
    assert said in written(evaluated())
    assert said in page(evaluated())
    assert "random control" not in written(one(40, 38, 2))


def test_one_line_is_in_the_annotations_and_at_the_top_of_the_page() -> None:
    report = results_of({"evaluation": one(40, 38, 2)})
    said = "quality against full helps (1.48, 95% 1.36 to 1.59)"
    assert evaluation_line(report.results) == said
    assert f"alpaqual: evaluation: {said.replace('%', '%25')}\n" in to_github(report)
    assert said in to_html(report).split("<main>")[0]
    assert evaluation_line(results_of({}).results) == ""


def test_everything_has_a_place_on_the_page_and_in_markdown() -> None:
    shown, text = page(ALL), written(ALL)
    parsed(shown)
    for title in (
        "Wins, ties and losses",
        "By category and skill",
        "All models",
        "Ratings",
        "Capability",
        "Judges",
        "Answers",
    ):
        assert title in shown
    for title in ("Judges", "Other rules", "Categories and skills", "Ratings", "Capability", "Answers"):
        assert f"<summary>{title}</summary>" in text
    for said in ("quality_6k, 6,000 rows, is the smallest nested dataset", "vllm is not installed"):
        assert said in shown
        assert said in text
    assert text.index("judge flagged") < text.index("<details>")
    assert len(text.encode()) < MOST_BYTES / 2


def test_every_skill_has_an_axis_and_small_ones_are_marked() -> None:
    shown = page(evaluated({("a", "b"): 0.1}, ("wizardlm",)))
    drawn = re.search(r'<svg viewBox="[^"]*" class="radar".*?</svg>', shown)
    assert drawn is not None
    labels = re.findall(r'class="(label(?: few)?)"><title>[^<]*</title>([^<]*)<', drawn[0])
    few = {name for name, items in SKILLS.items() if items < 5}
    assert {text for kind, text in labels if kind == "label"} == SKILLS.keys() - few
    assert {text for kind, text in labels if kind == "label few"} == {f"{name} ({SKILLS[name]})" for name in few}
    heights = sorted(float(y) for y in re.findall(r'<text x="[^"]*" y="([^"]*)" text-anchor="start"', drawn[0]))
    assert all(after - before > 12 for before, after in pairwise(heights))


@pytest.mark.parametrize("axes", [0, 1, 2, 41])
def test_a_circle_with_too_few_or_too_many_axes_is_left_out(axes: int) -> None:
    drawn = radar([Axis(f"g{n}", 10) for n in range(axes)], [Outline([1.0] * axes, [""] * axes)], RING, label="")
    assert drawn == ""


@given(
    values=st.lists(st.one_of(st.none(), st.floats(0, 2)), min_size=3, max_size=40),
    name=st.text(max_size=40),
)
@settings(deadline=None, max_examples=examples(30))
def test_any_radar_is_well_formed_and_inside_its_drawing(values: list[float | None], name: str) -> None:
    axes = [Axis(name, index, index < 5) for index in range(len(values))]
    outline = Outline(values, [name] * len(values), [None if value is None else [0.0, value] for value in values])
    drawn = radar(axes, [outline], RING, label="a chart")
    parsed(drawn)
    _, _, width, height = (float(each) for each in re.findall(r'viewBox="([^"]*)"', drawn)[0].split())
    places = re.findall(r'<circle cx="([^"]*)" cy="([^"]*)"', drawn) + re.findall(
        r'<text x="([^"]*)" y="([^"]*)"', drawn
    )
    assert all(0 <= float(x) <= width and 0 <= float(y) <= height for x, y in places)
    assert drawn.count('<circle class="full') + drawn.count("3.5") >= sum(value is not None for value in values)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2).map(sorted), min_size=1, max_size=8))
def test_a_scale_holds_its_intervals_and_has_ticks(intervals: list[list[float]]) -> None:
    scale = scale_of(intervals, mark=1.0)
    assert scale is not None
    assert 1 <= len(scale.ticks) <= 8
    assert all(scale.low <= each <= scale.high for bounds in intervals for each in bounds)
    assert scale.low <= 1 <= scale.high


def test_a_chart_of_sizes_has_a_point_for_each_dataset() -> None:
    points = of({"rule": "paper", "sizes": [*size_points(), *(size_points(f"t{n}")[0] for n in range(9))]}).sizes
    spec = size_chart(points, {point.test_set: point.test_set or "" for point in points})
    drawn = [layer for layer in spec["layer"] if layer["mark"]["type"] == "point"]
    assert len(drawn) == MOST_LINES
    assert [value["reaches"] for value in drawn[0]["data"]["values"]] == [False, True, False]


ALL = everything()
EDGES: dict[str, dict[str, Any]] = {
    "empty": {"rule": "paper"},
    "no verdicts": one(0, 0, 0, unjudged=3),
    "one item": one(1, 0, 0),
    "every item of a group unjudged": {
        "rule": "paper",
        "pairs": [{**one(1, 2, 3)["pairs"][0], "categories": {name: counted(0, 0, 0, 2) for name in VICUNA}}],
    },
    "29 skills": evaluated({("a", "b"): 0.1}, ("wizardlm",)),
    "everything": ALL,
    "six models": many(),
    "only answers": {"rule": "paper", "answers": evaluated()["answers"], "waiting": {"judging.j": "offline"}},
    "only a judge": {"rule": "paper", "judges": {"judge": {}}},
    "capability alone": {"rule": "paper", "capability": {"a": {"b": capability_of(0.0, {"one": 1})}}},
    "capability without groups": {"rule": "paper", "capability": {"a": {"b": capability_of(300.0, {})}}},
    "overall alone": {
        "rule": "paper",
        "overall": [entry("a", "b", "vicuna", 0.1) | {"test_set": None, "categories": {}}],
    },
    "ratings without intervals": evaluated(
        ratings={name: {"rating": 1000.0} for name in ("full", "x")}, test_sets=("koala",)
    ),
}


@pytest.mark.parametrize("case", EDGES)
def test_every_evaluation_has_a_report_in_each_format(case: str) -> None:
    report = results_of({"evaluation": EDGES[case], "recipe": {"name": "r", "title": "", "file": "r.yaml"}})
    parsed(to_html(report))
    text = to_markdown(report)
    assert len(text.encode()) <= MOST_BYTES
    assert "### Evaluation" in text
    assert to_junit(report) and to_github(report)
    for words in ("None", "nan", "inf"):
        assert not re.search(rf"\b{words}\b", text), words


def test_a_stage_that_did_not_run_is_skipped_in_junit() -> None:
    found = to_junit(results_of({"evaluation": {"rule": "paper", "waiting": {"judging.j": "offline"}}}))
    assert 'name="judging.j">\n      <skipped message="offline" />' in found
    assert 'skipped="1"' in found


def hostile(text: str) -> dict[str, Any]:
    """An evaluation in which every text that is not ours is `text`."""
    about = {"a": text, "b": text + "2", "test_set": text, "judge": text}
    groups = {text + str(n): {**counted(3, 2, 1), "few": n == 0} for n in range(4)}
    entries = [
        {
            **pair_of(counted(4, 2, 1, 2), **about, rule=rule),
            "categories": groups,
            "skills": groups,
            "unjudged_reasons": {text: 2},
        }
        for rule in ("paper", "fastchat")
    ]
    third = pair_of(counted(9, 0, 0), **{**about, "b": text + "3"}, rule="paper")
    whole = ALL
    return {
        "rule": "paper",
        "pairs": [*entries, third],
        "answers": [{**whole["answers"][0], "model": text, "test_set": text, "unanswered": {text: 1}}],
        "judges": {text: {**POOR, "model": text, "prompt": text, "flags": [text]}},
        "agreements": [{"judges": [text, text], "n": 3, "agreement": 0.5, "kappa": -0.1}],
        "ratings": {text: {"rating": 1000.0, "n": 4}},
        "capability": {text: {text: capability_of(80.0, {text + str(n): 4 for n in range(4)})}},
        "sizes": [
            {**point, "model": text, "against": text, "test_set": text, "judge": text} for point in size_points()
        ],
        "waiting": {text: text},
    }


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_changes_no_structure_of_markdown(text: str) -> None:
    def section(name: str) -> str:
        return to_markdown(results_of({"evaluation": hostile(name), "recipe": {"name": "r", "title": "", "file": "r"}}))

    assert_ours(section(text), section("plain"))


def quoted(report: Report, rows: list[dict[str, Any]]) -> Report:
    kept = [{**row, "group": row["category"] or row["skill"], "example": True, "cut": False} for row in rows]
    return replace(report, items=JudgedItems(kept, len(kept)))


def test_hostile_text_becomes_no_markup_on_the_page() -> None:
    about = {"a": EVIL, "b": EVIL + "2", "test_set": EVIL, "judge": EVIL, "id": EVIL, "category": EVIL}
    rows = judged_rows(9, text=EVIL, reason_a_first=EVIL, reason_b_first=EVIL, **about)
    calm = {key: "plain" + value.removeprefix(EVIL) for key, value in about.items()}
    quiet = judged_rows(9, text="plain", reason_a_first="plain", reason_b_first="plain", **calm)
    evil = to_html(quoted(made(evaluation=hostile(EVIL)), rows))
    plain = to_html(quoted(made(evaluation=hostile("plain")), quiet))

    def shape(written: str) -> list[str]:
        # A hidden character is an element of its own.
        return [name for name, about in parsed(written).seen if about.get("class") != "code-point"]

    assert shape(evil) == shape(plain)
    assert "window.pwned=1</script>" not in evil
    assert "\u202e" not in evil


def test_the_explorer_quotes_both_answers_and_what_both_orders_say() -> None:
    rows = [{**row, "verdict": "win", "winner_a_first": "first", "winner_b_first": "tie"} for row in judged_rows(1)]
    rows[0] |= {"score_a_first_1": 9.0, "score_a_first_2": 7.5, "score_b_first_1": 8.0, "score_b_first_2": 8.0}
    shown = to_html(quoted(results_of({"evaluation": one(1, 0, 0)}), rows))
    assert "first: quality is better (quality 9, full 7.5)" in shown
    assert "first: a tie (full 8, quality 8)" in shown
    assert "It steers under its own fall." in shown
    assert "It is balanced." in shown
    unread = {**rows[0], "verdict": None, "winner_b_first": None, "reason_b_first": "no score", "reply_b_first": ""}
    assert "no vote (no score)" in to_html(quoted(results_of({"evaluation": one(0, 0, 0)}), [unread]))
    single = {**rows[0], "one_order": True, "winner_b_first": None, "reply_b_first": None}
    assert to_html(quoted(results_of({"evaluation": one(1, 0, 0)}), [single])).count("first: ") == 1
