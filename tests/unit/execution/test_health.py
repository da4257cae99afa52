"""Whether a grader has drifted: each check at its limit, just below it and just above it, and where it is not defined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from alpaqual.execution.health import agreement_result, cascade_result, health_checks
from alpaqual.execution.limits import share_beyond
from alpaqual.plan.facts import AssessFacts, GradeFacts, GraderFacts, convert_facts
from alpaqual.recipe.graders import (
    Agreement,
    Cascade,
    Golden,
    Grader,
    Health,
    HighLimits,
    LowLimits,
    Repeats,
    Scale,
    ShareLimits,
)
from alpaqual.results.datasets import ScoreCount
from alpaqual.results.graders import CascadeResult, HealthCheck

STEPS = Scale(min=0, max=5, step=0.5)
OTHER = Grader(column="o", scale=STEPS)


def bars(*rows: int) -> list[ScoreCount]:
    """The histogram of scores 1, 2, 3, … with these numbers of rows."""
    return [ScoreCount(score=float(score), rows=count) for score, count in enumerate(rows, 1)]


def check(which: str, health: Health, facts: Mapping[str, Any] | None = None, **more: Any) -> HealthCheck:
    """One check of a grader with this health."""
    found = more.pop("found", bars(5, 3, 2))
    graders = {"g": Grader(**{"column": "g", "scale": STEPS, **more}, health=health), "other": OTHER}
    (one,) = [each for each in health_checks("g", graders, found, graded(facts or {})) if each.check == which]
    return one


def graded(facts: Mapping[str, Any]) -> GraderFacts:
    """Facts of a grader that has no scores; of its assessing only where the test names one of those."""
    calls = dict.fromkeys(("calls_made", "calls_reused", "input_tokens", "output_tokens", "faults", "again"), 0)
    calls |= dict.fromkeys(("cost_usd", "bought_usd", "seconds"), 0.0) | {"models": [], "again_digest": ""}
    replies = [calls | reply for reply in facts.get("replies", ())]
    grades = {"scores": [], "reasons": [], "taken_over": facts.get("taken_over", []), "replies": replies}
    measured = {key: value for key, value in facts.items() if key in AssessFacts.__struct_fields__}
    alone = {"length": [{"rows": 0, "spearman": None}], "one_scored": [{"this_only": 0, "other_only": 0}]}
    assessed = convert_facts(alone | measured, AssessFacts) if measured else None
    return GraderFacts(convert_facts(grades, GradeFacts), assessed)


def asked(**facts: Any) -> dict[str, Any]:
    return {"replies": [facts]}


# Shares: the count that is exactly the limit holds, one more does not.

SHARES: Sequence[tuple[str, str]] = [
    ("50%", "0.5"),
    ("57%", "0.57"),
    ("7%", "0.07"),
    ("0.1%", "0.001"),
    ("100%", "1.0"),
]


@pytest.mark.parametrize(("percent", "rate"), SHARES)
def test_shares_are_compared_exactly(percent: str, rate: str) -> None:
    whole = 1000
    at = round(float(rate) * whole)
    for limit in (percent, float(rate)):
        assert not share_beyond(at - 1, whole, limit)
        assert not share_beyond(at, whole, limit)
        assert share_beyond(at + 1, whole, limit)


@pytest.mark.parametrize(
    ("rows", "warn", "fail", "state"),
    [
        ((4, 3, 3), "50%", "60%", "pass"),
        ((5, 3, 2), "50%", "60%", "pass"),
        ((6, 3, 1), "50%", "60%", "warn"),
        ((7, 2, 1), "50%", "60%", "fail"),
        ((7, 2, 1), None, 0.6, "fail"),
        ((6, 2, 2), None, 0.6, "pass"),
        ((7, 2, 1), 0.6, None, "warn"),
        ((10, 0, 0), None, None, "pass"),
    ],
)
def test_the_most_frequent_score(rows: tuple[int, ...], warn: Any, fail: Any, state: str) -> None:
    found = check("most_frequent", Health(most_frequent=ShareLimits(warn=warn, fail=fail)), found=bars(*rows))
    assert found.state == state
    assert found.value == max(rows) / 10
    assert found.text == f"the most frequent score is 1: {rows[0]} of 10 scored rows ({rows[0] * 10}.0%)"


def test_limits_are_shown_in_words() -> None:
    shares = check("most_frequent", Health(most_frequent=ShareLimits(warn="60%", fail=0.57)))
    assert (shares.warn, shares.fail) == ("above 60%", "above 57%")
    length = check("length", Health(length=HighLimits(warn=0.25)), {"length": [{"rows": 9, "spearman": 0.1}]})
    assert (length.warn, length.fail) == ("beyond ±0.25", None)


def test_of_equally_frequent_scores_the_lowest_is_named() -> None:
    assert "score is 2: 4 of 9" in check("most_frequent", Health(length=HighLimits()), found=bars(1, 4, 4)).text


def test_scores_between_steps_are_counted_in_bins() -> None:
    found = check("most_frequent", Health(length=HighLimits()), scale=Scale(min=0, max=5), found=bars(1, 4, 0))
    assert found.text == "the most frequent scores are in the bin from 2 to 2.1 (one of 50): 4 of 5 scored rows (80.0%)"
    combined = check("most_frequent", Health(length=HighLimits()), model="local/m", column=None, scoring="expectation")
    assert "bin from 1 to 1.1" in combined["text"]


# Coefficients

AROUND = [(0.3, "pass"), (-0.3, "pass"), (0.300001, "warn"), (-0.300001, "warn"), (0.5, "warn"), (-0.500001, "fail")]


@pytest.mark.parametrize(("rho", "state"), AROUND)
def test_the_correlation_with_length_of_either_sign(rho: float, state: str) -> None:
    health = Health(length=HighLimits(warn=0.3, fail=0.5))
    found = check("length", health, {"length": [{"rows": 1200, "spearman": rho}]})
    assert (found.state, found.value) == (state, rho)
    assert found.text == f"Spearman's rank correlation of score and response length is {rho:+.2f} over 1,200 rows"


@pytest.mark.parametrize("which", ["spearman", "kappa"])
@pytest.mark.parametrize(
    ("value", "state"), [(0.7, "pass"), (0.699999, "warn"), (0.4, "warn"), (0.399999, "fail"), (-1.0, "fail")]
)
def test_agreement(which: str, value: float, state: str) -> None:
    health = Health(agreement=Agreement(with_="other", **{which: LowLimits(warn=0.7, fail=0.4)}))
    facts = {"agreement": [{"rows": 40, "spearman": value}], "kappa": [{"rows": 40, "kappa": value}]}
    found = check(f"agreement.{which}", health, facts)
    assert (found.state, found.value, found.warn, found.fail) == (state, value, "below 0.7", "below 0.4")
    assert "with other" in found.text
    assert "over 40 rows that both scored" in found.text


def test_a_negative_zero_is_a_zero() -> None:
    found = check("length", Health(length=HighLimits()), {"length": [{"rows": 9, "spearman": -0.0}]})
    assert str(found.value) == "0.0"


def test_agreement_of_a_cascade_with_its_first_grader_excludes_rows_it_took_over() -> None:
    health = Health(agreement=Agreement(with_="other"))
    cascade = Cascade(first="other", threshold=4.5, band=0.5)
    facts = {"agreement": [{"rows": 40, "spearman": 0.5}], "kappa": [{"rows": 40, "kappa": None}]}
    found = check("agreement.spearman", health, facts, model="openai/x", column=None, cascade=cascade)
    assert found.text.endswith("over 40 rows that both scored, without those that the cascade took over")


# Repeats and golden rows


@pytest.mark.parametrize(("different", "state"), [(0, "pass"), (2, "pass"), (3, "warn"), (5, "warn"), (6, "fail")])
def test_repeats(different: int, state: str) -> None:
    facts = asked(repeats={"rows": 50, "compared": 40, "different": different})
    found = check("repeats", Health(repeats=Repeats(warn="5%", fail=0.125)), facts)
    assert (found.state, found.value) == (state, different / 40)
    assert found.text.startswith(f"{different} of 40 rows ({different / 40 * 100:.1f}%) got a different score")
    assert found.text.endswith("; 10 rows got no score at least once")


@pytest.mark.parametrize(("wrong", "state"), [(1, "pass"), (2, "pass"), (3, "warn"), (4, "warn"), (5, "fail")])
def test_golden_rows(wrong: int, state: str) -> None:
    facts = asked(golden={"rows": 20, "scored": 19, "wrong": wrong, "mean_error": 0.257})
    found = check("golden", Health(golden=Golden(file="g.csv", within=0.5, warn="10%", fail="20%")), facts)
    assert (found.state, found.value) == (state, wrong / 20)
    assert found.text == (
        f"{wrong} of 20 rows with known scores ({wrong * 5}.0%) have a score more than 0.5 off or no score (1); "
        "the mean error is 0.26"
    )


# What cannot be measured

LOW, HIGH, SHARE = LowLimits(warn=0.5), HighLimits(fail=0.5), ShareLimits(warn="5%")
AGREE = Agreement(with_="other", spearman=LOW, kappa=LOW)
NOTHING_AGREES = {"agreement": [{"rows": 2, "spearman": None}], "kappa": [{"rows": 2, "kappa": None}]}
CONSTANT = {"agreement": [{"rows": 9, "spearman": None}], "kappa": [{"rows": 9, "kappa": None}]}
OTHER_SCALE = {"agreement": [{"rows": 9, "spearman": 0.9}]}


@pytest.mark.parametrize(
    ("which", "health", "facts", "why"),
    [
        ("length", Health(length=HIGH), {"length": [{"rows": 1, "spearman": None}]}, "1 row, at least 3 are needed"),
        ("length", Health(length=HIGH), {"length": [{"rows": 5, "spearman": None}]}, "all scores or all lengths"),
        ("agreement.spearman", Health(agreement=AGREE), NOTHING_AGREES, "2 rows, at least 3 are needed"),
        ("agreement.kappa", Health(agreement=AGREE), NOTHING_AGREES, "2 rows, at least 3 are needed"),
        ("agreement.spearman", Health(agreement=AGREE), CONSTANT, "one of the graders gives all rows one score"),
        ("agreement.kappa", Health(agreement=AGREE), CONSTANT, "both graders give all rows the same score"),
        ("repeats", Health(repeats=Repeats(warn="5%")), {}, "no row was graded twice"),
        ("repeats", Health(repeats=Repeats(fail="5%")), asked(), "no row was graded twice"),
        (
            "repeats",
            Health(repeats=Repeats(warn="5%")),
            asked(repeats={"rows": 1, "compared": 0, "different": 0}),
            "none of 1 row got a score both times",
        ),
        ("golden", Health(golden=Golden(file="g", fail="5%")), asked(), "were not graded"),
    ],
)
def test_an_undefined_measure_with_a_limit_warns(which: str, health: Health, facts: dict[str, Any], why: str) -> None:
    found = check(which, health, facts)
    assert (found.state, found.value) == ("warn", None)
    assert found.text.startswith("cannot be measured: ")
    assert why in found.text


def test_kappa_of_other_scales_cannot_be_measured() -> None:
    found = check("agreement.kappa", Health(agreement=AGREE), OTHER_SCALE, scale=Scale(min=0, max=1))
    assert (found.state, found.value) == ("warn", None)
    assert found.text == "cannot be measured: other has another scale, or scores are between the steps"


def test_nothing_scored_warns_where_a_share_is_limited() -> None:
    found = check("most_frequent", Health(most_frequent=SHARE), found=bars())
    assert (found.state, found.text) == ("warn", "cannot be measured: no row is scored")


def test_without_a_limit_everything_passes() -> None:
    health = Health(agreement=Agreement(with_="other"), repeats=Repeats(), golden=Golden(file="g"), length=HighLimits())
    graders = {"g": Grader(model="openai/x", scale=STEPS, health=health), "other": OTHER}
    facts = {"length": [{"rows": 2, "spearman": None}], **CONSTANT}
    checks = health_checks("g", graders, bars(), graded(facts))
    assert [each.check for each in checks] == [
        "most_frequent",
        "length",
        "agreement.spearman",
        "agreement.kappa",
        "repeats",
        "golden",
    ]
    assert {each.state for each in checks} == {"pass"}
    assert {each.warn for each in checks} | {each.fail for each in checks} == {None}


def test_checks_of_a_stage_that_did_not_run_are_left_out() -> None:
    assert health_checks("g", {"g": Grader(column="g")}, bars(1), graded({})) == []
    health = Health(length=HIGH, agreement=AGREE)
    checks = health_checks("g", {"g": Grader(column="g", health=health), "other": OTHER}, bars(1), graded({}))
    assert [each.check for each in checks] == ["most_frequent"]


# What goes beside the checks


def test_agreement_in_the_results() -> None:
    grader = Grader(column="g", health=Health(agreement=AGREE))
    facts = {
        **CONSTANT,
        "one_scored": [{"other_only": 2, "this_only": 1}],
        "confusion": [{"rows": 9, "other": 1.0, "score": 2.0}],
    }
    found = agreement_result(grader, graded(facts))
    assert found is not None
    assert found.to_dict() == {
        "with": "other",
        "rows": 9,
        "this_only": 1,
        "other_only": 2,
        "spearman": None,
        "kappa": None,
        "confusion": [{"score": 2.0, "other": 1.0, "rows": 9}],
    }
    assert agreement_result(grader, graded({})) is None
    assert agreement_result(Grader(column="g"), graded(facts)) is None


CASCADED = Grader(model="openai/x", cascade=Cascade(first="other", threshold=4.5, band=0.5))


@pytest.mark.parametrize(
    ("calls", "paid", "facts", "saved", "usd"),
    [
        (50, 0.5, {}, 60, 0.6),
        (50, 0.5, {"spared": [{"rows": 50}]}, 50, 0.5),
        (50, 0.0, {}, 60, None),
        (0, 0.0, {}, 60, None),
    ],
)
def test_what_a_cascade_saved(calls: int, paid: float, facts: dict[str, Any], saved: int, usd: float | None) -> None:
    found = cascade_result(CASCADED, 100, calls, paid, graded({"taken_over": [{"rows": 60}], **facts}))
    assert found == CascadeResult(first="other", asked=40, taken_over=60, saved_calls=saved, saved_usd=usd)


def test_without_a_cascade_nothing_is_saved() -> None:
    assert cascade_result(OTHER, 100, 50, 0.5, graded({})) is None


def spread_out(rows: Mapping[float, int], scale: Scale = STEPS, **more: Any) -> list[HealthCheck]:
    """The check of steps, where there is one, of a grader with these rows by score."""
    graders = {"g": Grader(**{"model": "openai/m", "scale": scale, **more})}
    found = [ScoreCount(score=score, rows=count) for score, count in sorted(rows.items())]
    return [each for each in health_checks("g", graders, found, graded({})) if each.check == "steps"]


@pytest.mark.parametrize(
    ("rows", "apart"),
    [
        ({0: 10, 1: 10, 2: 10, 3: 10, 4: 10, 5: 10}, 1),
        ({0: 30, 5: 30}, 5),
        ({2: 30, 4: 30, 5: 40}, 1),
        ({0: 49, 4: 50, 4.5: 1}, 4),
        ({1.5: 20, 3: 20, 4.5: 20}, 1.5),
    ],
)
def test_scores_on_coarser_steps_than_the_scale_warn(rows: Mapping[float, int], apart: float) -> None:
    (found,) = spread_out(rows)
    assert (found.state, found.warn, found.fail) == ("warn", "from 98%", None)
    assert f"are {apart:g} apart, and the scale has steps of 0.5" in found.text
    on = sum(count for score, count in rows.items() if score % apart == 0)
    assert found.value == round(on / sum(rows.values()), 6)


@pytest.mark.parametrize(
    ("rows", "more"),
    [
        ({0: 48, 4: 50, 4.5: 3}, {}),
        ({4: 60}, {}),
        ({0: 10, 5: 9}, {}),
        ({0: 10, 4: 9, 4.5: 1}, {}),
        ({0: 30, 5: 30}, {"scale": Scale(min=0, max=5)}),
        ({0: 30, 1: 30, 2: 30}, {"scale": Scale(min=0, max=5, step=1)}),
        ({1: 30, 2: 30}, {"samples": 3}),
        ({0.3: 30, 1.3: 30}, {}),
    ],
)
def test_scores_that_use_the_steps_of_the_scale_do_not_warn(rows: Mapping[float, int], more: Mapping[str, Any]) -> None:
    assert spread_out(rows, **more) == []


def test_rows_with_a_chat_templates_tokens_warn_and_others_are_not_mentioned() -> None:
    (found,) = [
        each
        for each in health_checks("g", {"g": Grader(model="openai/m")}, [], graded({"template_tokens": [{"rows": 3}]}))
        if each.check == "template_tokens"
    ]
    assert (found.state, found.value) == ("warn", 3)
    none = health_checks("g", {"g": Grader(model="openai/m")}, [], graded({"template_tokens": [{"rows": 0}]}))
    assert "template_tokens" not in [each.check for each in none]
