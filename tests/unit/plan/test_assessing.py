"""What is measured of a grader, against oracles that know nothing of our SQL: scipy's Spearman, and kappa by its definition."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sqlglot import ErrorLevel
from tiers import examples

from alpaqual.plan.assessing import assesses, assessing_facts
from alpaqual.plan.grading import NOT_ASKED
from alpaqual.plan.stage import Facts
from alpaqual.recipe.graders import Agreement, Cascade, Grader, Health, LowLimits, Scale, ShareLimits

STEPS = Scale(min=0, max=5, step=0.5)
SCORES = st.one_of(st.none(), st.integers(0, 10).map(lambda step: step / 2))
LENGTHS = st.one_of(st.none(), st.integers(0, 6))
Score = float | None


def agreeing(**more: Any) -> dict[str, Grader]:
    """Two graders on one scale, of which `g` is compared with `other`."""
    scale = more.pop("scale", STEPS)
    health = Health(agreement=Agreement(with_="other"))
    return {"g": Grader(column="g", scale=scale, health=health, **more), "other": Grader(column="o", scale=STEPS)}


def facts(
    rows: Sequence[tuple[Score, Score, int | None]],
    graders: dict[str, Grader],
    *,
    dropping: Sequence[str] = (),
    reasons: Sequence[str | None] = (),
    dropped: Sequence[int] = (),
) -> dict[str, list[dict[str, Any]]]:
    """The facts of `g` over rows of (its score, the other's score, length of the response)."""
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE rows (n BIGINT, response VARCHAR, instruction VARCHAR, input VARCHAR)")
        connection.execute("CREATE TABLE incomplete (n BIGINT)")
        connection.execute("CREATE TABLE failures (n BIGINT, rule VARCHAR)")
        for table in ("grades.g", "grades.other"):
            connection.execute(f'CREATE TABLE "{table}" (n BIGINT, score DOUBLE, reason VARCHAR)')
        for n, (mine, other, length) in enumerate(rows):
            reason = reasons[n] if reasons else None
            connection.execute(
                "INSERT INTO rows VALUES (?, ?, NULL, NULL)", [n, None if length is None else "é" * length]
            )
            connection.execute('INSERT INTO "grades.g" VALUES (?, ?, ?)', [n, mine, reason])
            connection.execute('INSERT INTO "grades.other" VALUES (?, ?, NULL)', [n, other])
        for n in dropped:
            connection.execute("INSERT INTO failures VALUES (?, 'rule')", [n])
        found: dict[str, list[dict[str, Any]]] = {}
        for query in assessing_facts("g", graders, dropping):
            assert isinstance(query, Facts)
            cursor = connection.execute(query.sql)
            names = [column[0] for column in cursor.description]
            found[query.name] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found


def spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    if len(pairs) < 3:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rho = float(spearmanr([x for x, _ in pairs], [y for _, y in pairs]).statistic)
    return None if rho != rho else rho


def kappa(pairs: Sequence[tuple[float, float]]) -> Fraction | None:
    """Quadratic weighted kappa from the table of observed and expected counts, cell by cell."""
    n, classes = len(pairs), range(11)
    observed = {(i, j): sum(p == (i / 2, j / 2) for p in pairs) for i in classes for j in classes}
    mine = [sum(observed[i, j] for j in classes) for i in classes]
    other = [sum(observed[i, j] for i in classes) for j in classes]
    apart = sum(Fraction((i - j) ** 2, 100) * observed[i, j] for i, j in observed)
    chance = sum((Fraction((i - j) ** 2, 100) * mine[i] * other[j] / n for i, j in observed), Fraction()) if n else 0
    return None if n < 3 or not chance else 1 - apart / chance


@settings(max_examples=examples(80), deadline=None)
@given(st.lists(st.tuples(SCORES, SCORES, LENGTHS), max_size=25))
def test_facts_are_what_the_oracles_say(rows: list[tuple[Score, Score, int | None]]) -> None:
    found = facts(rows, agreeing())
    with_length = [(score, length) for score, _, length in rows if score is not None and length is not None]
    both = [(mine, other) for mine, other, _ in rows if mine is not None and other is not None]
    (length,), (agreement,), (by_steps,), (alone,) = (
        found[each] for each in ("length", "agreement", "kappa", "one_scored")
    )
    assert length["rows"] == len(with_length)
    assert length["spearman"] == pytest.approx(spearman(with_length), abs=1e-6)
    assert agreement["rows"] == by_steps["rows"] == len(both)
    assert agreement["spearman"] == pytest.approx(spearman(both), abs=1e-6)
    wanted = kappa(both)
    assert by_steps["kappa"] == (None if wanted is None else pytest.approx(float(wanted), abs=1e-6))
    assert alone == {
        "this_only": sum(mine is not None and other is None for mine, other, _ in rows),
        "other_only": sum(mine is None and other is not None for mine, other, _ in rows),
    }
    cells = {(cell["score"], cell["other"]): cell["rows"] for cell in found["confusion"]}
    assert cells == {pair: both.count(pair) for pair in both}
    assert list(cells) == sorted(cells)


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.tuples(SCORES, SCORES, LENGTHS), max_size=25), st.randoms())
def test_the_order_of_rows_changes_nothing(rows: list[tuple[Score, Score, int | None]], random: Any) -> None:
    found = facts(rows, agreeing())
    random.shuffle(rows)
    assert facts(rows, agreeing()) == found


def test_equal_scores_agree_wholly_and_opposite_ones_not() -> None:
    same = facts([(x / 2, x / 2, x) for x in range(11)], agreeing())
    assert (same["agreement"][0]["spearman"], same["kappa"][0]["kappa"], same["length"][0]["spearman"]) == (1, 1, 1)
    turned = facts([(x / 2, 5 - x / 2, -x + 10) for x in range(11)], agreeing())
    assert (turned["agreement"][0]["spearman"], turned["kappa"][0]["kappa"]) == (-1, -1)
    assert turned["length"][0]["spearman"] == -1


def test_large_numbers_of_rows_overflow_nothing() -> None:
    (query, *_) = assessing_facts("g", {"g": Grader(model="openai/x")}, ())
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE rows AS SELECT range AS n, repeat('x', range % 9000) AS response FROM range(9)"
        )
        connection.execute('CREATE TABLE "grades.g" AS SELECT range AS n, range::DOUBLE AS score FROM range(9)')
        many = query.sql.replace("COUNT(*)", "COUNT(*) * 1000000000")
        assert connection.execute(many).fetchall() == [(9_000_000_000, 1.0)]


@pytest.mark.parametrize(
    ("scale", "steps", "table"),
    [
        (STEPS, True, True),
        (Scale(min=0, max=5), False, False),
        (Scale(min=0, max=10, step=0.5), False, False),
        (Scale(min=0, max=5, step=1), False, False),
    ],
)
def test_steps_are_compared_where_both_have_the_same(scale: Scale, steps: bool, table: bool) -> None:
    found = facts([(1, 2, 3)] * 4, agreeing(scale=scale))
    assert (("kappa" in found), ("confusion" in found)) == (steps, table)


def test_of_very_many_steps_there_is_no_table() -> None:
    for step, there in ((1, True), (0.5, False)):
        scale = Scale(min=0, max=100, step=step)
        graders = {**agreeing(scale=scale), "other": Grader(column="o", scale=scale)}
        found = facts([(1, 2, 3), (50, 50, 2), (100, 99, 1)], graders)
        assert ("confusion" in found) is there
        assert found["kappa"][0]["kappa"] > 0.9


def test_scores_between_steps_are_compared_by_rank_alone() -> None:
    found = facts([(x / 3, x / 2, x) for x in range(9)], agreeing(scoring="expectation", model="local/m"))
    assert "kappa" not in found
    assert found["agreement"] == [{"rows": 9, "spearman": 1.0}]


def test_a_row_that_was_not_asked_about_is_not_a_row_that_one_grader_left_unscored() -> None:
    graders = {
        **agreeing(),
        "g": Grader(model="openai/x", scale=STEPS, health=Health(agreement=Agreement(with_="other"))),
    }
    rows = [(None, 4.0, 1), (None, 3.0, 2), (1.0, None, 3)]
    found = facts(rows, graders, reasons=[NOT_ASKED, "refusal", None])
    assert found["one_scored"] == [{"this_only": 1, "other_only": 1}]


CASCADE = Cascade(first="other", threshold=4.0, band=0.5)
CASCADED = [(4.0, 3.5, 1), (3.0, 4.0, 2), (5.0, 4.5, 3), (1.0, 1.0, 4), (5.0, 5.0, 5), (2.0, None, 6)]


def test_a_cascade_is_not_said_to_agree_with_the_scores_that_it_took_over() -> None:
    grader = Grader(model="recorded/x", scale=STEPS, cascade=CASCADE, health=Health(agreement=Agreement(with_="other")))
    other = Grader(column="o", scale=STEPS)
    found = facts(CASCADED, {"g": grader, "other": other})
    assert found["agreement"][0]["rows"] == 3
    assert sum(cell["rows"] for cell in found["confusion"]) == 3
    assert found["one_scored"] == [{"this_only": 1, "other_only": 0}]
    assert found["spared"] == [{"rows": 2}]
    turned = {
        "g": Grader(column="g", scale=STEPS, health=Health(agreement=Agreement(with_="other"))),
        "other": Grader(model="recorded/x", scale=STEPS, cascade=Cascade(first="g", threshold=4.0, band=0.5)),
    }
    found = facts([(other, mine, length) for mine, other, length in CASCADED], turned)
    assert found["agreement"][0]["rows"] == 3


def test_a_cascade_spares_no_row_that_a_rule_drops() -> None:
    live = Grader(model="openai/x", scale=STEPS, cascade=CASCADE)
    graders = {"g": live, "other": Grader(column="o", scale=STEPS)}
    assert facts(CASCADED, graders, dropping=["rule"], dropped=[3])["spared"] == [{"rows": 1}]
    assert facts(CASCADED, graders)["spared"] == [{"rows": 2}]


def test_graders_that_are_assessed() -> None:
    assert assesses(Grader(model="openai/x"))
    assert assesses(Grader(model="recorded/x"))
    assert assesses(Grader(column="s", health=Health(most_frequent=ShareLimits(warn="50%"))))
    assert not assesses(Grader(column="s"))
    assert not assesses(Grader(table="s.csv"))
    assert not assesses(Grader(kind="length"))


@pytest.mark.parametrize("dialect", ["postgres", "snowflake"])
def test_the_queries_can_be_carried_to_another_engine(dialect: str) -> None:
    limits = LowLimits(warn=0.5)
    health = Health(agreement=Agreement(with_="other", kappa=limits))
    grader = Grader(model="openai/x", scale=STEPS, cascade=CASCADE, health=health)
    for query in assessing_facts("g", {"g": grader, "other": Grader(column="o", scale=STEPS)}, ["rule"]):
        (there,) = sqlglot.transpile(query.sql, read="duckdb", write=dialect, unsupported_level=ErrorLevel.RAISE)
        assert sqlglot.parse_one(there, read=dialect) is not None
