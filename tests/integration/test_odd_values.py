"""Odd values and names in data: each is read in one way alone, whatever else its file holds."""

from __future__ import annotations

import json

import pytest
from conftest import Project

from alpaqual.api import Run
from alpaqual.errors import RecipeError

pytestmark = pytest.mark.slow


def run_of(project: Project, *lines: str, source: str = "", more: str = "") -> Run:
    project.write("d.jsonl", "".join(f"{line}\n" for line in lines))
    project.ask("d.jsonl", source=f"max_quarantined: 100%\n{source}", more=more)
    return project.run()


def lines_of(run: Run) -> list[dict[str, object]]:
    text = (run.folder / "datasets" / "full.jsonl").read_text(encoding="utf-8")

    def refuse(value: str) -> None:
        raise AssertionError(f"{value} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.split("\n") if line]


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize(
    "end", [",}", ', "k": [1, ]}', ', "k": nan}', ', "k": [ -NaN]}', ', "k":Inf}', ', "k": {"a": 1, }}']
)
def test_what_is_no_json_is_in_quarantine_with_and_without_a_broken_line(
    project: Project, end: str, broken: bool
) -> None:
    """DuckDB reads commas before a bracket, and `nan`; Python does not."""
    good = [
        '{"instruction": "code", "output": "f(a,) [1, ] {b, } : nan, inf"}',
        '{"instruction": "q", "output": "a", "k": NaN}',
    ]
    run = run_of(
        project, *good, '{"instruction": "odd", "output": "a"' + end, *(["{"] if broken else []), source="keep: [k]"
    )
    assert sorted(str(row["instruction"]) for row in lines_of(run)) == ["code", "q"]
    assert run.results.source.quarantined == 1 + broken


def test_numbers_that_json_lacks_are_null_in_kept_values_however_deep(project: Project) -> None:
    kept = '{"x": [NaN, {"y": -Infinity}, 1e400, -1E+999, 1e300], "s": "NaN, \\"-Infinity\\" [NaN] 1e400"}'
    run = run_of(project, f'{{"instruction": "q", "output": "a", "k": {kept}}}', source="keep: [k]")
    (row,) = lines_of(run)
    assert row["k"] == {"x": [None, {"y": None}, None, None, 1e300], "s": 'NaN, "-Infinity" [NaN] 1e400'}


def test_a_column_without_a_name_is_kept(project: Project) -> None:
    run = run_of(project, '{"": 1, "instruction": "q", "output": "a"}', source="keep: all")
    assert [row[""] for row in lines_of(run)] == [1]


def test_true_is_one_among_numbers_and_its_name_among_texts(project: Project) -> None:
    values = [0, 1, 2, 5, -1]
    lines = [
        json.dumps({"instruction": f"q{n}", "output": "a", "n": n, "t": t})
        for n, t in zip(values, ["no", "true", "t", "yes", "on"], strict=True)
    ]
    run = run_of(
        project,
        *lines,
        more="categories:\n"
        "  - {category: n, column: n, values: [true]}\n"
        "  - {category: none, column: n, values: [false]}\n"
        "  - {category: text, column: t, values: [true, yes]}\n"
        "rules: [{id: r, column: n, check: {not_equal_to: true}, warn: 5}]\n",
    )
    assert {name: each.rows for name, each in run.results.categories.items()} == {"n": 1, "none": 1, "text": 2}
    assert run.results.rules[0].failing_rows == 1


def test_a_table_of_scores_without_rows_is_an_error(project: Project) -> None:
    project.write("t.csv", "id,score\n")
    with pytest.raises(RecipeError, match=r"t\.csv has no rows"):
        run_of(project, '{"instruction": "q", "output": "a"}', more="graders: {g: {table: t.csv}}\n")


@pytest.mark.parametrize("other", [1, -5, 2**63, 2**64 + 1, -(2**70), 10**37, None])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_whole_numbers_are_exact_beside_any_others(project: Project, other: int | None, kind: str) -> None:
    values = [2**53, 2**53 + 1, other]
    if kind == "csv":
        cells = ["" if value is None else str(value) for value in values]
        project.write("d.csv", "instruction,output,k\n" + "".join(f"q{n},a,{cell}\n" for n, cell in enumerate(cells)))
    else:
        lines = [json.dumps({"instruction": f"q{n}", "output": "a", "k": value}) for n, value in enumerate(values)]
        project.write("d.jsonl", "\n".join(lines))
    project.ask(
        f"d.{kind}",
        more="categories: [{column: k}]\n"
        "rules:\n"
        "  - {id: equal, column: k, check: {equal_to: 9007199254740993}, warn: 9}\n"
        "  - {id: unique, column: k, check: unique, warn: 9}\n"
        "  - {id: where, where: k <> 9007199254740993, warn: 9}\n"
        "  - {id: text, column: k, check: {str_matches: '9007199254740993$'}, warn: 9}\n",
    )
    run = project.run()
    there = [value for value in values if value is not None]
    assert {rule.id: rule.failing_rows for rule in run.results.rules} == {
        "equal": len(there) - 1,
        "unique": 0,
        "where": 1,
        "text": len(there) - 1,
    }
    assert sorted(run.results.categories) == sorted(str(value) for value in there)


def test_rows_are_found_by_an_own_id_that_is_a_number(project: Project) -> None:
    run = run_of(
        project, '{"id": 7, "instruction": "q", "output": "a"}', '{"id": 8, "instruction": "r", "output": "a"}'
    )
    assert [row["instruction"] for row in run.rows(row_id=7)] == ["q"]


@pytest.mark.parametrize("text", ["[]", " [\n] ", "{}"])
def test_a_document_without_rows_says_so(project: Project, text: str) -> None:
    project.write("d.json", text)
    project.ask("d.json")
    with pytest.raises(RecipeError, match=r"recipe\.yaml:4:\d+: d\.json has no rows$"):
        project.run()
