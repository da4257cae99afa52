"""The data's own ids and columns: datasets have them as they were."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Project
from hypothesis import given, settings
from hypothesis import strategies as st
from tiers import examples

import alpaqual
from alpaqual.api import Run
from alpaqual.errors import RecipeError

pytestmark = pytest.mark.slow

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=4)
WHOLE = st.integers(-(2**63), 2**64 - 1) | st.integers(-9, 9)
FRACTIONS = st.floats(allow_nan=False, allow_infinity=False)
IDS = TEXTS | st.integers(-(2**63), 2**63) | st.none() | st.sampled_from(["mine-3", "mine-3", 7, "7", 1.5, True])
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | FRACTIONS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
TALK = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}]  # fmt: skip


def lines_of(run: Run, dataset: str = "full") -> list[dict[str, Any]]:
    text = (run.folder / "datasets" / f"{dataset}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def with_ids(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in the order of their instructions, without row ids; each own id is the row id where there is none."""
    return [{key: value for key, value in line.items() if key != "row_id"} for line in lines]


@given(
    rows=st.lists(st.tuples(IDS, VALUES, VALUES), min_size=1, max_size=5),
    talks=st.booleans(),
    kind=st.sampled_from(["jsonl", "json"]),
    broken=st.booleans(),
)
@settings(max_examples=examples(20), deadline=None)
def test_ids_and_kept_columns_are_those_of_the_data(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], talks: bool, kind: str, broken: bool
) -> None:
    """Against plain Python: whatever JSON values a file of records has."""
    project = Project(tmp_path_factory.mktemp("own"))
    records = [
        {"instruction": f"i{n}", "output": f"o{n}", "id": own, "k": one, "Ü x": two}
        for n, (own, one, two) in enumerate(rows)
    ]
    if talks:
        records = [
            {
                "messages": [{**TALK[0], "content": f"i{n}"}, *TALK[1:]],
                **{key: value for key, value in record.items() if key not in ("instruction", "output")},
            }
            for n, record in enumerate(records)
        ]
    if kind == "jsonl":
        project.write("d.jsonl", "".join(json.dumps(each) + "\n" for each in records) + ("[]\n" if broken else ""))
    else:
        project.write("d.json", json.dumps(records))
    project.ask(f"d.{kind}", source='keep: [k, "Ü x"]\nmax_quarantined: 1')
    found = {line["messages"][0]["content"] if talks else line["instruction"]: line for line in lines_of(project.run())}
    assert len(found) == len(records)
    for number, record in enumerate(records):
        line = found[f"i{number}"]
        assert len(line["row_id"]) == 16
        own = line["row_id"] if record["id"] is None else record["id"]
        texts = (
            {"messages": record["messages"]}
            if talks
            else {"instruction": f"i{number}", "input": "", "output": f"o{number}"}
        )
        assert json.dumps(line) == json.dumps(
            {"id": own, "row_id": line["row_id"], **texts, "k": record["k"], "Ü x": record["Ü x"]}
        )


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow
    from pyarrow import parquet as file

    file.write_table(pyarrow.Table.from_pylist(rows), path)


COLUMNS = [
    {"instruction": "i0", "output": "o0", "id": 3, "truth": True, "list": [1, 2], "struct": {"a": 1.5, "b": None}, "text": "x", "number": 2.0, "bytes": b"\x00\xff"},
    {"instruction": "i1", "output": "o1", "id": 4, "truth": None, "list": None, "struct": {"a": None, "b": "y"}, "text": None, "number": float("nan"), "bytes": None},
]  # fmt: skip


def test_kept_columns_of_typed_files(project: Project) -> None:
    parquet(project.folder / "d.parquet", COLUMNS)
    project.ask("d.parquet", source="keep: all")
    expected = [{**{"id": row["id"]}, **row, "input": ""} for row in COLUMNS]
    expected[0]["bytes"], expected[1]["number"] = "AP8=", None  # JSON has neither bytes nor NaN
    found = sorted(lines_of(project.run()), key=lambda line: line["instruction"])
    assert with_ids(found) == expected


def test_kept_columns_of_csv(project: Project) -> None:
    """A column of texts has the type that all its texts have."""
    text = io.StringIO()
    csv.writer(text).writerows(
        [
            ["instruction", "output", "id", "a", "b", "c"],
            ["i", "o", "007", "1", "1.50", "true"],
            ["j", "p", "008", "", "2", "false"],
        ]
    )
    project.write("d.csv", text.getvalue())
    project.ask("d.csv", source="keep: all")
    found = sorted(lines_of(project.run()), key=lambda line: line["instruction"])
    assert [[line[key] for key in ("id", "a", "b", "c")] for line in found] == [
        ["007", 1, 1.5, True],
        ["008", None, 2, False],
    ]


def test_the_id_is_a_column_of_another_name(project: Project) -> None:
    rows = [{"instruction": "i", "output": "o", "uid": 2**60 + 1, "id": "x", "output2": 1}]
    project.jsonl("data.jsonl", rows)
    project.ask(source="fields: {id: uid}\nkeep: [id, uid]")
    (line,) = lines_of(project.run())
    assert list(line) == ["id", "row_id", "instruction", "input", "output", "source.id", "uid"]
    assert (line["id"], line["source.id"], line["uid"]) == (2**60 + 1, "x", 2**60 + 1)


def test_a_kept_column_never_replaces_a_key_of_the_dataset(project: Project) -> None:
    """It has `source.` before its name, as in the rest of a recipe; a column that is in the row already is there once."""
    rows = [{"q": "i", "a": "o", "instruction": 1, "messages": [2], "source.output": 3, "output": 4, "input": "in"}]
    project.jsonl("data.jsonl", rows)
    project.ask(source="fields: {instruction: q, response: a, input: input}\nkeep: all")
    (line,) = lines_of(project.run())
    keys = {"source.instruction": 1, "source.messages": [2], "source.output": 3, "source.source.output": 4}
    assert {key: value for key, value in line.items() if key != "id"} == {
        "instruction": "i",
        "input": "in",
        "output": "o",
        **keys,
    }
    project.ask(source="fields: {instruction: q, response: a, input: input}\nkeep: [input, q]")
    (line,) = lines_of(project.run())
    assert list(line) == ["id", "instruction", "input", "output", "q"]


def test_sources_with_and_without_ids_and_columns(project: Project) -> None:
    project.jsonl("a.jsonl", [{"id": "mine", "instruction": "a", "output": "b", "c": 1}])
    project.jsonl("b.jsonl", [{"instruction": "c", "output": "d", "c": [2]}])
    project.jsonl("c.jsonl", [{"messages": TALK, "id": 9}])
    project.write(
        "recipe.yaml",
        "version: 1\nname: r\ndatasets: {full: {}}\nsources:\n  - {path: a.jsonl, keep: [c]}\n  - {path: b.jsonl, keep: all}\n  - {path: c.jsonl}\n",
    )
    run = project.run()
    found = {str(line["id"]): line for line in lines_of(run)}
    hashed = next(line["id"] for line in found.values() if line["id"] == line["row_id"])
    assert found.keys() == {"mine", "9", hashed}
    assert [found[key]["c"] for key in ("mine", hashed, "9")] == [1, [2], None]
    assert run.rows(row_id="mine")[0]["own_id"] == "mine"
    assert run.rows(row_id="9")[0]["own_id"] == 9
    assert [row["own_id"] for row in run.rows(row_id=hashed[:8])] == [None]


def test_rows_are_found_by_the_datas_id(project: Project) -> None:
    rows = [{"id": own, "instruction": f"i{n}", "output": "o"} for n, own in enumerate(["mine-3", "mine-3", "mine", 4])]
    project.jsonl("data.jsonl", rows)
    project.ask()
    run = project.run()
    assert {row["instruction"] for row in run.rows(row_id="mine-3")} == {"i0", "i1"}
    assert {row["instruction"] for row in run.rows(row_id="mine")} == {"i2"}
    assert {row["instruction"] for row in run.rows(row_id="4")} == {"i3"}
    assert run.rows(row_id="min") == []
    first = run.rows(row_id="mine")[0]["id"]
    assert run.rows(row_id=first) == run.rows(row_id=first[:10]) == run.rows(row_id="mine")
    shown = project.command("rows", run.folder, "--id", "mine").stdout
    assert shown.startswith(f"row {first}, id mine\n")
    assert run.datasets["full"].polars()["row_id"].n_unique() == 4


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("keep: [categori]", "recipe.yaml:5:12: data.jsonl has no column 'categori', did you mean 'category'?"),
        ("fields: {id: uuid}", "recipe.yaml:5:18: data.jsonl has no column 'uuid', did you mean 'uid'?"),
    ],
)
def test_a_column_that_is_not_there(project: Project, source: str, problem: str) -> None:
    project.jsonl("data.jsonl", [{"instruction": "i", "output": "o", "category": "c", "uid": 1}])
    project.ask(source=source)
    with pytest.raises(RecipeError) as raised:
        alpaqual.plan_recipe(project.recipe)
    assert problem in str(raised.value)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_number_that_json_does_not_have_is_null(project: Project, kind: str) -> None:
    if kind == "csv":
        project.write("d.csv", "instruction,output,x\ni,o,nan\nj,o,inf\nk,o,1\n")
    else:
        project.write(
            "d.jsonl",
            "".join(
                f'{{"instruction":"{i}","output":"o","x":{x}}}\n'
                for i, x in (("i", "NaN"), ("j", "-Infinity"), ("k", "1"))
            ),
        )
    project.ask(f"d.{kind}", source="keep: [x]")
    assert {line["instruction"]: line["x"] for line in lines_of(project.run())} == {"i": None, "j": None, "k": 1}


def test_the_datas_own_id_and_columns_as_the_public_report_has_them(project: Project) -> None:
    row = {"id": "mine-3", "instruction": "a", "output": "b", "category": "x", "n": 4}
    project.jsonl("d.jsonl", [row])
    project.ask(
        "d.jsonl", "rules: [{id: r, where: \"id = 'mine-3' AND n = 4 AND row.n = 1\"}]", source="keep: [category, n]"
    )
    run = project.run()
    (line,) = lines_of(run)
    assert line == {**row, "row_id": line["row_id"], "input": ""}
    assert run.results.rules[0].failing_rows == 0
    assert "id mine-3" in project.command("rows", run.folder, "--id", "mine-3").stdout
