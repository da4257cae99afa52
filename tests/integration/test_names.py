"""Names in a recipe are the data's: whatever a column is called, a recipe finds it, and alpaqual's own values with `row.`."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from functools import cache
from typing import Any

import pytest
import sqlglot
import yaml
from conftest import Project
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

import alpaqual
from alpaqual.errors import RecipeError
from alpaqual.values import ROW_FIELDS, SourceFacts

pytestmark = pytest.mark.slow

OWN = ["n", "N", "id", "Id", "source", "position", "Position", "turns", "findings", "row", "rows", "score", "Score", "file_index", "a.b", "a b", 'q"x', "q'x", "row.id", "source.x", "source.mask", "turned problem", "row bytes", "id (2)", "größe", "Größe", "select"]  # fmt: skip
RECIPE = """\
version: 1
name: r
sources: [{path: d.jsonl}]
rules:
  - {id: a, column: c, check: {less_than: 3}, drop: true}
  - {id: b, where: c < 3 and row.turns = 2}
  - {id: c, check: no_duplicates}
  - {id: d, check: {no_duplicates: {columns: [instruction], normalised: true}}}
  - {id: e, check: no_conflicts}
  - {id: f, column: c, check: unique}
categories:
  - {category: k, keywords: [a, b]}
  - {category: p, pattern: x}
  - {category: w, where: c = 1}
  - {category: v, column: c, values: [1]}
  - {column: c}
graders:
  g: {column: c, scale: {min: 0, max: 5}}
  h: {table: t.jsonl, key: c, score: score, scale: {min: 0, max: 5}, health: {agreement: {with: g}}}
  i: {of: [g, h], combine: median, scale: {min: 0, max: 5}}
  j: {of: [g, h], combine: agreement, within: 1, scale: {min: 0, max: 5}}
datasets:
  full: {threshold: {g: 2}, quotas: {k: {min_rows: 1, max_share: 0.5}}, sample: 3}
"""


@cache
def names_in_sql() -> list[str]:
    """Every alias and every table and column of a plan's SQL: each is also a name that data may have."""
    recipe = alpaqual.parse_recipe(RECIPE, "recipe.yaml")
    conversation = SourceFacts("talk", "jsonl", (), {"messages": "JSON", "c": "BIGINT"}, {"messages": "messages"})
    triple = SourceFacts(
        "text",
        "jsonl",
        (),
        {**dict.fromkeys(ROW_FIELDS, "VARCHAR"), "c": "BIGINT"},
        dict(zip(ROW_FIELDS, ROW_FIELDS, strict=True)),
    )
    found: set[str] = set()
    for sources in ([triple], [conversation, triple]):
        plan = alpaqual.compile_plan(recipe, sources, {"t.jsonl": "0"})
        for stage in plan.stages:
            for statement in stage.statements:
                tokens = sqlglot.tokenize(statement.sql, read="duckdb")
                found |= {token.text for token in tokens if token.token_type.name in ("VAR", "IDENTIFIER")}
    return sorted(name for name in found if name.strip() and name not in ROW_FIELDS)


def meant(name: str) -> str:
    """How a recipe names a column of the data."""
    return f"source.{name}" if name.startswith(("source.", "row.")) else name


def in_where(name: str) -> str:
    """How an expression names a column of the data."""
    own = name.replace('"', '""')
    return f'source."{own}"' if name.startswith(("source.", "row.")) else f'"{own}"'


def write_file(project: Project, kind: str, rows: list[dict[str, Any]]) -> str:
    if kind == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        project.write("d.csv", text.getvalue())
        return "d.csv"
    if kind == "parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), project.folder / "d.parquet")
        return "d.parquet"
    project.jsonl(f"d.{kind}", rows) if kind == "jsonl" else project.write("d.json", json.dumps(rows))
    return f"d.{kind}"


FIELDS = {"instruction": "the question", "response": "the answer"}


def check_names(project: Project, kind: str, names: list[str], *, graders: bool) -> None:
    """A rule, an expression, a category, a grader and a table of scores for each name, against plain Python."""
    rows = [
        {
            "the question": f"q{row}",
            "the answer": f"a{row}",
            **{name: (column * 7 + row * 3) % 5 for column, name in enumerate(names)},
        }
        for row in range(7)
    ]
    recipe: dict[str, Any] = {"version": 1, "name": "r", "datasets": {"full": {}}, "rules": [], "categories": []}
    recipe["sources"] = [{"path": write_file(project, kind, rows), "fields": FIELDS}]
    recipe["graders"] = {}
    project.jsonl("t.jsonl", [{**dict.fromkeys(map(meant, names), value), "_s": value / 2} for value in range(4)])
    for index, name in enumerate(names):
        column = meant(name)
        recipe["rules"].append({"id": f"check{index}", "column": column, "check": {"less_than": 3}, "warn": 0})
        if graders:
            where = {"id": f"where{index}", "where": f"{in_where(name)} < 2 AND row.turns = 2", "warn": 0}
            recipe["rules"] += [where, {"id": f"unique{index}", "column": column, "check": "unique", "warn": 0}]
            recipe["categories"] += [
                {"category": f"values{index}", "column": column, "values": [2]},
                {"category": f"where{index}", "where": f"{in_where(name)} = 4"},
            ]
            scale = {"min": 0, "max": 5}
            recipe["graders"][f"column{index}"] = {"column": column, "scale": scale}
            recipe["graders"][f"table{index}"] = {"table": "t.jsonl", "key": column, "score": "_s", "scale": scale}
    project.write("recipe.yaml", yaml.safe_dump(recipe))
    results = project.run().results
    failing = {rule.id: rule.failing_rows for rule in results.rules}
    for index, name in enumerate(names):
        values = [row[name] for row in rows]
        counts = Counter(values)
        assert failing[f"check{index}"] == sum(value >= 3 for value in values), name
        if graders:
            assert failing[f"where{index}"] == sum(value >= 2 for value in values), name
            assert results.categories[f"values{index}"].rows == counts[2], name
            assert results.categories[f"where{index}"].rows == counts[4], name
            assert failing[f"unique{index}"] == sum(counts[value] > 1 for value in values), name
            found = {bar.score: bar.rows for bar in results.graders[f"column{index}"].histogram}
            assert found == counts, name
            found = {bar.score * 2: bar.rows for bar in results.graders[f"table{index}"].histogram}
            assert found == {value: rows for value, rows in counts.items() if value < 4}, name


@pytest.mark.slow  # a rule for each name in the SQL of all stages
def test_a_column_of_any_name_works_in_rules(project: Project) -> None:
    taken = set(FIELDS.values())
    names = [name for name in dict.fromkeys([*OWN, *names_in_sql()]) if name not in taken]
    check_names(project, "jsonl", names, graders=False)


@given(data=st.data(), kind=st.sampled_from(["jsonl", "json", "csv", "parquet"]))
@settings(max_examples=examples(6), deadline=None)
def test_a_column_of_any_name_works_in_categories_and_graders(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    taken = {*FIELDS.values(), *ROW_FIELDS, "_s"}
    texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=6)
    names = data.draw(st.lists(st.sampled_from(OWN + names_in_sql()) | texts, min_size=2, max_size=3, unique=True))
    names = [name for name in names if name not in taken and name.strip() == name]
    if kind == "parquet":
        names = list({name.lower(): name for name in names}.values())
    if names:
        check_names(Project(tmp_path_factory.mktemp("names")), kind, names, graders=True)


def run(project: Project, rows: list[dict[str, Any]], recipe: str) -> alpaqual.api.Run:
    project.jsonl("data.jsonl", rows)
    project.ask(more=recipe)
    return project.run()


ROWS = [
    {
        "instruction": f"i{n}",
        "output": f"o{n}",
        "id": f"mine-{n}",
        "n": n % 2,
        "source": "web",
        "turns": n,
        "rule": "x",
        "mask": n,
    }
    for n in range(4)
]


WHERE = [
    ("id = 'mine-3'", 1),
    ("n = 1", 2),
    ("source = 'web'", 4),
    ("turns >= 2 AND mask <> 2", 1),
    ("row.id = 'mine-3'", 0),
    ("length(row.id) = 16", 4),
    ("row.n = 3", 1),
    ("row.position = 3", 1),
    ("row.source = 'source'", 4),
    ("row.turns = 2", 4),
    ("row.turns > turns", 2),
    ("source.n = 1 AND source.id = 'mine-1'", 1),
    ("instruction = 'i1' AND response = 'o1' AND output = 'o1'", 1),
]


def test_names_are_the_datas_and_own_values_have_row_before_them(project: Project) -> None:
    categories = [{"category": f"c{index}", "where": where} for index, (where, _) in enumerate(WHERE)]
    found = run(project, ROWS, f"categories: {json.dumps(categories)}").results.categories
    assert {where: found[f"c{index}"].rows for index, (where, _) in enumerate(WHERE)} == dict(WHERE)


VALUES = ["id", "n", "source", "position", "turns"]


def test_a_name_of_an_own_value_that_no_source_has(project: Project) -> None:
    rows = [{"instruction": "i", "output": "o"}]
    rules = [{"id": f"r{value}", "column": value, "check": "unique"} for value in [*VALUES, "row.ids"]]
    with pytest.raises(RecipeError) as raised:
        run(project, rows, f"rules: {json.dumps(rules)}")
    for value in VALUES:
        assert f"recipe.yaml:5:1: no source has a column '{value}': for alpaqual's own value write row.{value}" in str(
            raised.value
        )
    assert "there is no 'row.ids': the values of a row are row.id, row.n, row.source, row.position, row.turns" in str(
        raised.value
    )
    own = [{**rule, "column": f"row.{rule['column']}"} for rule in rules[:-1]]
    assert all(rule.failing_rows == 0 for rule in run(project, rows, f"rules: {json.dumps(own)}").results.rules)


def test_row_values_of_conversations_beside_triples(project: Project) -> None:
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 2
    project.jsonl("talk.jsonl", [{"messages": talk, "turns": 7}])
    project.jsonl("text.jsonl", ROWS[:2])
    project.write(
        "recipe.yaml",
        "version: 1\nname: r\nsources: [{path: talk.jsonl}, {path: text.jsonl}]\ndatasets: {full: {}}\ncategories:\n"
        "  - {category: four, where: row.turns = 4}\n  - {category: two, where: row.turns = 2}\n  - {category: seven, where: turns = 7}\n"
        "  - {category: first, column: row.position, values: [1]}\n  - {category: text, where: messages IS NULL}\n",
    )
    found = project.run().results.categories
    assert {name: each.rows for name, each in found.items()} == {"four": 1, "two": 2, "seven": 1, "first": 2, "text": 2}


HASHED = [{"instruction": "i", "output": "o"}, {"instruction": "j", "output": "p"}]


@pytest.mark.parametrize(
    ("rows", "key", "column", "keys"),
    [
        (HASHED, "id", "id", "hash"),
        (HASHED, "row.id", "id", "hash"),
        (HASHED, "row.id", "row_id", "hash"),
        (HASHED, "row.id", "row.id", "hash"),
        (ROWS[:2], "id", "id", "own"),
        (ROWS[:2], "source.id", "id", "own"),
        (ROWS[:2], "row.id", "id", "hash"),
        ([{**row, "id": number} for number, row in enumerate(ROWS[:2])], "id", "id", "number"),
    ],
)
def test_the_key_of_a_table_of_scores(project: Project, rows: list[Any], key: str, column: str, keys: str) -> None:
    """`id` is the data's own id, and the row's where the data has none; `row.id` is always the row's."""
    hashes = [row.get("row_id", row["id"]) for row in datasets_rows(run(project, rows, ""))]
    values = {"hash": sorted(hashes), "own": ["mine-0", "mine-1"], "number": ["0.0", "1"]}[keys]
    project.jsonl("scores.jsonl", [{column: value, "score": index} for index, value in enumerate(values)])
    found = run(
        project, rows, f"graders: {{g: {{table: scores.jsonl, key: {key}, score: score, scale: {{min: 0, max: 5}}}}}}"
    )
    assert found.results.graders["g"].scored == 2


def datasets_rows(run: alpaqual.api.Run) -> list[dict[str, Any]]:
    text = (run.folder / "datasets" / "full.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_a_recipe_has_more_rules_than_a_number_has_bits(project: Project) -> None:
    rules = [{"id": f"r{index}", "where": f"n <> {index % 3}", "warn": 0} for index in range(130)]
    found = run(project, ROWS, f"rules: {json.dumps(rules)}").results.rules
    assert [rule.failing_rows for rule in found] == [[2, 2, 0][index % 3] for index in range(130)]
