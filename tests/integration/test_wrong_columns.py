"""A column or key that cannot be what a recipe takes it for is an error with a sample value, not a result."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import Project
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.engines import open_engine
from alpaqual.errors import RecipeError
from alpaqual.sql import compared

pytestmark = pytest.mark.slow

SCALE = "scale: {min: 0, max: 5}"
ROWS = [{"instruction": f"i{n}", "output": f"o{n}", "text": ["bad", "", None][n], "ok": n > 0, "mixed": [4.5, "N/A", None][n], "texts": ["4.5", "2", ""][n], "key": f"k{n}"} for n in range(3)]  # fmt: skip


def refused(project: Project, more: str, rows: list[dict[str, Any]] | None = None) -> str:
    project.jsonl("data.jsonl", ROWS if rows is None else rows)
    project.ask(more=more)
    with pytest.raises(RecipeError) as raised:
        project.run()
    return str(raised.value)


@pytest.mark.parametrize("check", ["in_range: {min: 0, max: 5}", "greater_than: 3", "less_than_or_equal_to: 3"])
def test_a_check_of_numbers_on_texts(project: Project, check: str) -> None:
    kind = check.partition(":")[0]
    message = refused(
        project,
        f"rules:\n  - {{id: a, column: text, check: {{{check}}}}}\n  - {{id: b, column: response, check: {{{check}}}}}",
    )
    for line, (rule, column, sample) in enumerate([("a", "text", "bad"), ("b", "response", "o0")], 6):
        assert (
            f"recipe.yaml:{line}:1: rule '{rule}': '{kind}' compares numbers, and the column '{column}' holds none, such as '{sample}'"
            in message
        )
    message = refused(project, f"rules: [{{id: a, column: ok, check: {{{check}}}}}]")
    assert "holds true and false: use equal_to" in message


@pytest.mark.parametrize(
    ("where", "column", "value"),
    [
        ("key", "key", "'yes'"),
        ("ok and not n", "n", "1"),
        ("coalesce(source.n, 1)", "source.n", "1"),
        ("row.turns or ok", "row.turns", "1"),
        ("case when response then ok end", "response", "'yes'"),
    ],
)
def test_a_condition_that_is_no_truth_value(project: Project, where: str, column: str, value: str) -> None:
    """DuckDB takes any number but 0 for true."""
    rows = [{**row, "n": place} for place, row in enumerate(ROWS)]
    for part in (f'rules: [{{id: a, where: "{where}"}}]', f'categories: [{{category: a, where: "{where}"}}]'):
        message = refused(project, part, rows)
        assert f"'{column}' holds " in message and f"compare it, as in {column} = {value}" in message
    project.ask(more='rules: [{id: a, where: "ok and n = 1"}]')
    assert project.run().results.rules[0].failing_rows == 2


def test_a_column_that_holds_some_numbers_is_no_error(project: Project) -> None:
    """One text among numbers concerns its row; an empty text and a null are no texts."""
    project.jsonl("data.jsonl", ROWS)
    rules = [{"id": column, "column": column, "check": {"greater_than": 3}, "warn": 0} for column in ("mixed", "texts")]
    graders = {column: {"column": column, "scale": {"min": 0, "max": 5}} for column in ("mixed", "texts")}
    project.ask(more=f"rules: {json.dumps(rules)}\ngraders: {json.dumps(graders)}")
    results = project.run().results
    assert [rule.failing_rows for rule in results.rules] == [1, 2]
    assert {name: grader.scored for name, grader in results.graders.items()} == {"mixed": 1, "texts": 2}
    assert results.graders["mixed"].unscored_reasons["not a number: N/A"] == 1


def test_a_grader_of_a_column_without_numbers(project: Project) -> None:
    message = refused(project, f"graders: {{g: {{column: text, {SCALE}}}}}")
    assert "recipe.yaml:5:23: the column 'text' holds no number, such as 'bad'" in message


def test_a_boolean_is_a_score_on_a_scale_of_0_to_1_alone(project: Project) -> None:
    message = refused(project, f"graders: {{g: {{column: ok, {SCALE}}}}}")
    assert (
        "recipe.yaml:5:23: the column 'ok' holds true and false, which count as 1 and 0, and the scale is 0 to 5"
        in message
    )
    project.ask(more="graders: {g: {column: ok, scale: {min: 0, max: 1}}}")
    assert {bar.score: bar.rows for bar in project.run().results.graders["g"].histogram} == {0: 1, 1: 2}


@pytest.mark.parametrize(
    ("table", "key", "problem"),
    [
        ([{"key": "x9", "s": 1}, {"key": "x8", "s": 2}], "key", "recipe.yaml:5:36: no key of t.jsonl is one of a row: the table has 'x8', the rows have 'k0'"),
        ([{"key": "k1", "s": "good"}, {"key": "k2", "s": None}], "key", "the column 's' of t.jsonl holds no number, such as 'good'"),
        ([{"key": "k1", "s": True}], "key", "the column 's' of t.jsonl holds no number, such as 'true'; true and false are scores on a scale of 0 to 1"),
    ],
)  # fmt: skip
def test_a_table_of_scores_that_is_of_no_use(project: Project, table: list[Any], key: str, problem: str) -> None:
    project.jsonl("t.jsonl", table)
    assert problem in refused(project, f"graders: {{g: {{table: t.jsonl, key: {key}, score: s, {SCALE}}}}}")


def test_a_table_by_row_ids_for_data_with_ids(project: Project) -> None:
    rows = [{**row, "id": f"mine-{n}"} for n, row in enumerate(ROWS)]
    project.jsonl("data.jsonl", rows)
    project.ask()
    hashes = [row["id"] for row in project.run().rows()]
    project.jsonl("t.jsonl", [{"id": each, "s": 1} for each in hashes])
    message = refused(project, f"graders: {{g: {{table: t.jsonl, score: s, {SCALE}}}}}", rows)
    assert "the rows have 'mine-0': its keys are row ids, so write key: row.id" in message


WHOLE = st.integers(2**53 - 2, 2**53 + 3) | st.integers(2**64 - 3, 2**64 + 3) | st.integers(-9, 9)


@given(value=WHOLE | WHOLE.map(lambda number: -number), bound=WHOLE | WHOLE.map(lambda number: -number))
@settings(max_examples=examples(200), deadline=None)
def test_whole_numbers_are_compared_exactly(value: int, bound: int) -> None:
    engine = open_engine(threads=1)
    try:
        for operator, expected in (
            ("<", value < bound),
            ("<=", value <= bound),
            (">", value > bound),
            (">=", value >= bound),
        ):
            for column in (f"CAST('{value}' AS HUGEINT)", f"'{value}'"):
                (found,) = engine.facts(f"SELECT {compared(column, operator, bound)} AS found", "comparing")
                assert found["found"] == expected, (value, operator, bound)
    finally:
        engine.close()


def test_a_rule_compares_whole_numbers_above_2_to_the_53_exactly(project: Project) -> None:
    project.jsonl("data.jsonl", [{"instruction": f"{n}", "output": "o", "uid": 2**53 + n} for n in range(3)])
    checks = [{"greater_than": 2**53 + 1}, {"less_than": 2**53 + 1}, {"in_range": {"min": 2**53 + 1, "max": 2**53 + 1}}, {"greater_than_or_equal_to": 2**53 + 1}]  # fmt: skip
    rules = [{"id": f"r{n}", "column": "uid", "check": check, "warn": 0} for n, check in enumerate(checks)]
    project.ask(more=f"rules: {json.dumps(rules)}")
    assert [rule.failing_rows for rule in project.run().results.rules] == [2, 2, 2, 1]


def test_a_quota_on_a_category_without_a_row_warns(project: Project) -> None:
    """A category of a column is any of its values: a misspelt one is no error of the recipe."""
    project.jsonl("data.jsonl", [{**row, "team": "billing"} for row in ROWS])
    project.ask(
        more="categories: [{column: team}]",
        datasets="{full: {quotas: {bilings: {min_keep_rate: overall}, billing: {min_rows: 1}}}}",
    )
    found = project.run().results
    assert (found.verdict, [reason.text for reason in found.reasons]) == (
        "warn",
        ["dataset full: no row is in the category 'bilings' of a quota, did you mean 'billing'?"],
    )
