"""A `where:` holds what it names and nothing else: sqlglot and DuckDB both read the rendered text as allowed SQL."""

import contextlib
import json
import logging
import re
from functools import cache

import duckdb
import pytest
import sqlglot
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual.quote import name as quoted
from alpaqual.recipe.allowed_sql import check_tree
from alpaqual.recipe.expression import ExpressionError, parse_where, render_where

HOSTILE = "oid) = (select count(*) from read_text('/etc/hostname')) and (1"
TYPE_PROBLEM = re.compile(r"is no type to cast to here; types are: BOOLEAN, .*, VARCHAR, DATE, TIME, TIMESTAMP$")


@pytest.mark.parametrize(
    "expression",
    [
        f'cast(1 as "{HOSTILE}") = 1',
        f'try_cast(1 as "{HOSTILE}") = 1',
        f'(1)::"{HOSTILE}" = 1',
        f'cast(a as decimal("{HOSTILE}", 1)) = 1',
        "cast(a as decimal(a, b)) = 1",
        "cast(a as oid) = 1",
        "cast(a as my.type) = 1",
        f'cast(a as varchar collate "{HOSTILE}") = 1',
        f'cast(a as struct("{HOSTILE}" int)) is null',
        "cast(a as map(int, int)) is null",
        "cast(a as enum('x')) = 'x'",
        "a::varchar[] is null",
        "a::int[3] is null",
        "cast(a as timestamp with time zone) is null",
        "cast(a as interval) is null",
        "cast(a as json) is null",
    ],
)
def test_a_cast_takes_its_type_from_a_fixed_list(expression):
    with pytest.raises(ExpressionError) as raised:
        parse_where(expression)
    assert TYPE_PROBLEM.search(str(raised.value)) or "is not allowed here" in str(raised.value)
    with pytest.raises(ExpressionError):
        render_where(expression, quoted)


@pytest.mark.parametrize(
    ("written", "rendered"),
    [
        *((name, name) for name in ("BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "DOUBLE", "DATE", "TIMESTAMP")),
        ("varchar", "TEXT"),
        ("string", "TEXT"),
        ("uinteger", "UINTEGER"),
        ("hugeint", "INT128"),
        ("decimal(10, 2)", "DECIMAL(10, 2)"),
        ("numeric", "DECIMAL(18, 3)"),
        ('"integer"', "INT"),
    ],
)
def test_plain_types_are_rendered_by_name(written, rendered):
    assert render_where(f"cast(a as {written}) is null", quoted) == f'CAST("a" AS {rendered}) IS NULL'
    duckdb.execute(f"SELECT CAST(NULL AS {rendered})")


@pytest.mark.parametrize(
    "expression",
    [
        "cast(a as date default null on conversion error) = 1",
        "cast(a as date format 'YYYY') = 1",
        "a collate nocase = 'b'",
        f"a collate \"{HOSTILE}\" = 'b'",
        "a at time zone 'UTC' = 1",
        "a in b",
        "a in ()",
        "a in (select 1)",
        "a in unnest([1])",
        "a like any ('x', 'y')",
        "a like 'x' escape b",
        "regexp_matches(a, 'x', b)",
        "regexp_matches(a, 'x', 'i', 1)",
        "regexp_replace(a, 'b', 'c', b) = ''",
        "length(a, 'x') = 1",
        "floor(a, 2) = 1",
        "round(a, 2, 'x') = 1",
        "ceil(a to day) = 1",
        "interval 1 day > a",
        "trim(a collate nocase) = 'y'",
        "a = 1e",
        '"" = 1',
        'source."" = 1',
        "source.* = 1",
        "a = '\x00'",
        '"\x00" = 1',
        "lower(distinct a) = 'x'",
        "main.lower(a) = 'x'",
        "$$x$$ = a",
        "e'x' = a",
    ],
)
def test_a_node_has_its_listed_parts_alone(expression):
    with pytest.raises(ExpressionError):
        parse_where(expression)


def test_comments_and_hints_are_left_out():
    assert render_where("a /* x */ = /*+ y */ 1 -- z", quoted) == '"a" = 1'


def test_a_column_takes_the_quoted_name_that_it_is_given():
    assert render_where('"a""b" = source.x', lambda name: quoted(f"<{name}>")) == '"<a""b>" = "<source.x>"'
    with pytest.raises(ExpressionError, match="the column 'a' has no plain name in SQL"):
        render_where("a = 1", lambda name: f"COALESCE({quoted(name)}, other)")


@pytest.mark.slow
def test_deep_and_long_expressions_are_rendered_or_refused():
    assert parse_where(" and ".join(["a > 1"] * 2000)) == ("a",)
    for deep in (" + ".join(["a"] * 5000) + " > 1", "not " * 5000 + "a", "(" * 5000 + "a" + ")" * 5000):
        try:
            assert parse_where(deep) == ("a",)
        except ExpressionError as error:
            assert str(error) == "not a SQL expression: nested too deeply"


# What is accepted is what it says, for sqlglot and for DuckDB

NAMES = ["a", "b", "source.c", '"select"', '"a b"', '"x""y"', f'"{HOSTILE}"', '"read_text(\'x\')"', '"); DROP TABLE rows; --"', 'source."d""e"']  # fmt: skip
names = st.sampled_from(NAMES) | st.text(max_size=12).map(lambda text: '"' + text.replace('"', '""') + '"')
texts = st.sampled_from(["''", "'x'", "'it''s'", "'\\'", "'%'", "'--'", "'/*'", "'$$'", "')'", "'i'"]) | st.text(
    max_size=8
).map(lambda text: "'" + text.replace("'", "''") + "'")
numbers = st.sampled_from(["0", "1", "1.5", "1e3", ".5", "1.", "1e", "0x1F", "1_000"])
types = st.sampled_from(["int", "varchar", "double", "decimal(3,1)", "date", "oid", "int[]", "json", "boolean"]) | names
WORDS = """( ) , . ; and or not is null in like ilike escape between case when then else end :: cast( try_cast( as = <> < > + - * /
    // % || ~ ^ ! ? @ # : [ ] { } -> ->> => := select from rows exists any all interval day at time zone collate distinct
    over filter where order by limit unnest struct row values union with lambda x read_text( getenv( columns( lower( trim(
    both leading current_date user true false default glob similar to symmetric unknown isnull notnull div mod -- /* */"""
fragments = st.sampled_from(WORDS.split())


def composed(inner):
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(
            pair,
            st.sampled_from(
                ["and", "or", "=", "<>", "<", ">=", "is", "+", "-", "*", "/", "//", "%", "||", "like", "ilike"]
            ),
        ).map(lambda drawn: f"{drawn[0][0]} {drawn[1]} {drawn[0][1]}"),
        inner.map(lambda value: f"({value})"),
        inner.map(lambda value: f"not {value}"),
        st.tuples(st.sampled_from(["lower", "length", "trim", "abs", "ltrim", "read_text", "getenv"]), inner).map(
            lambda drawn: f"{drawn[0]}({drawn[1]})"
        ),
        st.tuples(st.sampled_from(["coalesce", "concat", "contains", "regexp_matches", "left", "round"]), pair).map(
            lambda drawn: f"{drawn[0]}({drawn[1][0]}, {drawn[1][1]})"
        ),
        st.tuples(inner, types).map(lambda drawn: f"cast({drawn[0]} as {drawn[1]})"),
        st.tuples(inner, types).map(lambda drawn: f"{drawn[0]}::{drawn[1]}"),
        pair.map(lambda drawn: f"{drawn[0]} in ({drawn[1]}, 1)"),
        pair.map(lambda drawn: f"{drawn[0]} between {drawn[1]} and 3"),
        pair.map(lambda drawn: f"case when {drawn[0]} then {drawn[1]} end"),
        pair.map(lambda drawn: f"case {drawn[0]} when 1 then {drawn[1]} else 2 end"),
    )


values = st.recursive(names | texts | numbers, composed, max_leaves=8)
conditions = st.tuples(values, values).map(lambda drawn: f"{drawn[0]} = {drawn[1]}") | values
scraps = st.lists(fragments | names | texts | numbers | types, min_size=1, max_size=9).map(" ".join)

FUNCTIONS_OF_DUCKDB = """length lower upper trim ltrim rtrim coalesce nullif abs round floor ceil least greatest strpos
substring left right replace concat contains starts_with ends_with regexp_matches regexp_replace"""
OPERATORS_OF_DUCKDB = "+ - * / // % || ~~ !~~ ~~* !~~* like_escape not_like_escape ilike_escape not_ilike_escape"
CALLED_BY_DUCKDB = {*FUNCTIONS_OF_DUCKDB.split(), *OPERATORS_OF_DUCKDB.split()}
CLASSES_OF_DUCKDB = {
    "COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "FUNCTION", "CAST", "CASE", "BETWEEN", "TYPE",
}  # fmt: skip


@cache
def empty_tables():
    database = duckdb.connect(config={"enable_external_access": "false"})
    database.execute("CREATE TABLE secret AS SELECT 1 AS hidden")
    return database


def nodes(value):
    if isinstance(value, dict):
        if "class" in value:
            yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


def read_by_duckdb(rendered):
    """The columns of the expression, as DuckDB parses it, or None where it refuses; every other node is of an allowed kind."""
    text = "SELECT 1 FROM rows WHERE " + rendered
    ((answer,),) = empty_tables().execute("SELECT json_serialize_sql($1)", [text]).fetchall()
    read = json.loads(answer)
    if read["error"]:
        # `a = b = c` and its like: DuckDB runs nothing.
        assert read["error_type"] == "parser"
        return None
    (statement,) = read["statements"]
    columns = set()
    for node in nodes(statement["node"]["where_clause"]):
        assert node["class"] in CLASSES_OF_DUCKDB, (rendered, node)
        if node["class"] == "COLUMN_REF":
            (column,) = node["column_names"]
            columns.add(column)
        if node["class"] == "FUNCTION":
            assert node["function_name"] in CALLED_BY_DUCKDB, (rendered, node["function_name"])
            assert not node["schema"] and not node["catalog"] and not node["filter"]
    return columns


@given(conditions | scraps)
@example(f'cast(1 as "{HOSTILE}") = 1')
@example("a between symmetric 1 and 2")
@example("a is not unknown")
@example("a = 'x' 'y'")
@settings(max_examples=examples(400), deadline=None)
def test_what_is_accepted_holds_its_columns_and_nothing_else(expression):
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        columns = parse_where(expression)
    except ExpressionError as error:
        assert str(error).isprintable()
        return
    rendered = render_where(expression, quoted)
    again = sqlglot.parse_one(rendered, dialect="duckdb")
    check_tree(again)
    found = {".".join(part.name for part in node.parts) for node in again.find_all(sqlglot.exp.Column)}
    assert found == set(columns)
    assert render_where(rendered, quoted) == rendered
    if (read := read_by_duckdb(rendered)) is None:
        return
    assert read == set(columns)
    run(rendered, columns)


def run(rendered, columns):
    """An empty table gives no row, or an ordinary error about types and values."""
    database = empty_tables()
    distinct = {column.lower(): column for column in columns}
    listed = ", ".join(f"{quoted(column)} VARCHAR" for column in distinct.values()) or "a VARCHAR"
    database.execute(f"CREATE OR REPLACE TEMP TABLE rows ({listed})")
    with contextlib.suppress(
        duckdb.BinderException, duckdb.ConversionException, duckdb.OutOfRangeException, duckdb.InvalidInputException
    ):
        assert database.execute(f"SELECT 1 FROM rows WHERE {rendered}").fetchall() == []
    assert database.execute("SELECT hidden FROM secret").fetchall() == [(1,)]
