"""Every check, compiled to SQL, fails the rows that pandera fails on the same frame."""

import json
import os
from collections import Counter, defaultdict

import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiers import examples

import alpaqual
from alpaqual.checks.in_range import Range
from alpaqual.checks.no_duplicates import Duplicates
from alpaqual.checks.str_length import Length
from alpaqual.engines.duckdb import Plugin as DuckDB
from alpaqual.plan.checking import COUNTS, failures
from alpaqual.plan.checks import Columns
from alpaqual.quote import name
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.model import Check, Rule
from alpaqual.store.frames import pandera_polars

os.environ.setdefault("DISABLE_PANDERA_IMPORT_WARNING", "True")
pa = pandera_polars()

CHARACTERS = "abAB09 .-\n\t\r'\"%_\\é漢😀\u0301\u200d"
TEXTS = (
    st.none() | st.sampled_from(["", "a", "ab", "b", "A", "0", "1", "1.0", "true"]) | st.text(CHARACTERS, max_size=6)
)
NUMBERS = (
    st.none() | st.integers(-3, 4).map(float) | st.sampled_from([0.5, -0.0, 2.5, 1e300, float("inf"), float("-inf")])
)
TRUTHS = st.none() | st.booleans()
# Classes are spelled out: what \w and \d hold is where RE2 and Rust differ, RE2 knows ASCII alone.
PATTERNS = st.sampled_from(
    ["a", "^a", "b$", "[a-z]+", "[^a-z]", "a|b", "(?i:a)", r"\.", "a.b", "^$", r"\n", "(?:ab)+", "x*", "[0-9]{2}", "é", "^[^0-9]*$", "(?s:a.b)", "漢|😀", "'", '"', "^(?:a|0)", "%", "_", r"\\"]
)  # fmt: skip
LENGTHS = st.tuples(st.none() | st.integers(0, 6), st.none() | st.integers(0, 6)).filter(
    lambda ends: ends != (None, None) and (None in ends or ends[0] <= ends[1])
)
RANGES = st.tuples(st.none() | st.integers(-3, 4), st.none() | st.sampled_from([0.5, 2, 4])).filter(
    lambda ends: ends != (None, None) and (None in ends or ends[0] <= ends[1])
)
SOME = st.sampled_from(["", "a", "ab", "b", "é", "'", "0", "\n", "%"])


@st.composite
def a_frame(draw):
    size = draw(st.integers(1, 12))
    column = {
        "t": pl.Series(draw(st.lists(TEXTS, min_size=size, max_size=size)), dtype=pl.String),
        "x": pl.Series(draw(st.lists(NUMBERS, min_size=size, max_size=size)), dtype=pl.Float64),
        "b": pl.Series(draw(st.lists(TRUTHS, min_size=size, max_size=size)), dtype=pl.Boolean),
    }
    few = st.none() | st.sampled_from(["", "a", "A ", "b", "a\nb"])
    for field in ("instruction", "input", "response"):
        column[field] = pl.Series(draw(st.lists(few, min_size=size, max_size=size)), dtype=pl.String)
    return pl.DataFrame(column).with_row_index("n").with_columns(pl.col("n").cast(pl.Int64))


# Per check: its argument, the column it is about, and pandera's word for it.
ON_COLUMNS = {
    "str_length": (LENGTHS, "t", lambda ends: pa.Check.str_length(*ends)),
    # pandera puts ^ before the pattern as it is, and so before the first alternative alone.
    "str_matches": (PATTERNS, "t", lambda pattern: pa.Check.str_matches(f"^(?:{pattern})")),
    "str_contains": (PATTERNS, "t", pa.Check.str_contains),
    "str_startswith": (SOME, "t", pa.Check.str_startswith),
    "str_endswith": (SOME, "t", pa.Check.str_endswith),
    "in_range": (RANGES, "x", lambda ends: pa.Check.in_range(*infinite(ends))),
    "equal_to": (st.one_of(SOME, st.integers(-3, 4), st.just(0.5), st.booleans()), None, pa.Check.equal_to),
    "not_equal_to": (st.one_of(SOME, st.integers(-3, 4), st.just(0.5), st.booleans()), None, pa.Check.not_equal_to),
    "greater_than": (st.sampled_from([-1, 0, 0.5, 2]), "x", pa.Check.greater_than),
    "greater_than_or_equal_to": (st.sampled_from([-1, 0, 0.5, 2]), "x", pa.Check.greater_than_or_equal_to),
    "less_than": (st.sampled_from([-1, 0, 0.5, 2]), "x", pa.Check.less_than),
    "less_than_or_equal_to": (st.sampled_from([-1, 0, 0.5, 2]), "x", pa.Check.less_than_or_equal_to),
    "isin": (
        st.lists(SOME, min_size=1) | st.lists(st.sampled_from([0.0, 1.0, 0.5, 2.5]), min_size=1),
        None,
        pa.Check.isin,
    ),
    "notin": (
        st.lists(SOME, min_size=1) | st.lists(st.sampled_from([0.0, 1.0, 0.5, 2.5]), min_size=1),
        None,
        pa.Check.notin,
    ),
}
OTHERWISE = {"not_nullable", "unique", "not_matches", "no_duplicates", "no_conflicts", "no_finding"}


def infinite(ends):
    low, high = ends
    return (float("-inf") if low is None else low, float("inf") if high is None else high)


def test_every_check_has_an_oracle():
    assert set(Check.__struct_fields__) == ON_COLUMNS.keys() | OTHERWISE


@pytest.fixture(scope="module")
def database():
    opened = DuckDB(threads=1)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("frames")


def by_sql(database, folder, frame, rule):
    """The row numbers that the compiled rule fails."""
    path = folder / "rows.parquet"
    seen = Counter()
    ids = []
    for texts in frame.select("instruction", "input", "response").iter_rows():
        key = repr(texts)
        seen[key] += 1
        ids.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    # An id is a hash; a copy's id has a dash and an ordinal after it.
    hashed = [f"{abs(hash(each.rpartition('-')[0] or each)):x}" + ("-2" if "-" in each else "") for each in ids]
    frame.with_columns(id=pl.Series(hashed, dtype=pl.String)).write_parquet(path)
    database.view("rows", [path])
    database.create("failures", failures([rule], Columns(name)), "failures")
    numbers = [n for (n,) in database.all_rows("SELECT n FROM failures")]
    assert len(numbers) == len(set(numbers))
    assert database.all_rows(COUNTS) == ([(rule.id, len(numbers))] if numbers else [])
    return set(numbers)


def by_pandera(frame, schema):
    """The row numbers that pandera fails."""
    try:
        schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        assert cases["index"].null_count() == 0, cases
        return set(cases["index"].to_list())
    return set()


def argument_of(check, drawn):
    if check == "str_length":
        return Length(min=drawn[0], max=drawn[1])
    return Range(min=drawn[0], max=drawn[1]) if check == "in_range" else drawn


def column_of(drawn):
    one = drawn[0] if isinstance(drawn, list) else drawn
    return "t" if isinstance(one, str) else "b" if isinstance(one, bool) else "x"


HEALTH = [HealthCheck.function_scoped_fixture]


@pytest.mark.parametrize("check", ON_COLUMNS)
@given(frame=a_frame(), data=st.data())
@settings(max_examples=examples(25), deadline=None, suppress_health_check=HEALTH)
def test_a_check_fails_the_rows_that_pandera_fails(database, folder, check, frame, data):
    arguments, about, word = ON_COLUMNS[check]
    drawn = data.draw(arguments)
    column = about or column_of(drawn)
    rule = Rule(id="r", column=column, check=Check(**{check: argument_of(check, drawn)}))
    schema = pa.DataFrameSchema({column: pa.Column(None, word(drawn), nullable=True)})
    assert by_sql(database, folder, frame, rule) == by_pandera(frame, schema)


@given(frame=a_frame(), column=st.sampled_from(["t", "x", "b", "response"]))
@settings(max_examples=examples(30), deadline=None, suppress_health_check=HEALTH)
def test_not_nullable_fails_the_rows_that_pandera_fails(database, folder, frame, column):
    rule = Rule(id="r", column=column, check="not_nullable")
    schema = pa.DataFrameSchema({column: pa.Column(None, nullable=False)})
    assert by_sql(database, folder, frame, rule) == by_pandera(frame, schema)


@given(frame=a_frame(), column=st.sampled_from(["t", "x", "response"]))
@settings(max_examples=examples(30), deadline=None, suppress_health_check=HEALTH)
def test_unique_fails_the_rows_that_pandera_fails(database, folder, frame, column):
    rule = Rule(id="r", column=column, check="unique")
    schema = pa.DataFrameSchema({column: pa.Column(None, unique=True, nullable=True)})
    # pandera counts nulls as equal; alpaqual's checks pass over them.
    there = set(frame.filter(pl.col(column).is_not_null())["n"])
    assert by_sql(database, folder, frame, rule) == by_pandera(frame, schema) & there


@given(frame=a_frame(), pattern=PATTERNS)
@settings(max_examples=examples(30), deadline=None, suppress_health_check=HEALTH)
def test_not_matches_fails_what_pandera_finds(database, folder, frame, pattern):
    rule = Rule(id="r", column="t", check=Check(not_matches=pattern))
    schema = pa.DataFrameSchema({"t": pa.Column(None, pa.Check.str_contains(pattern), nullable=True)})
    there = set(frame.filter(pl.col("t").is_not_null())["n"])
    assert by_sql(database, folder, frame, rule) == there - by_pandera(frame, schema)


ROW = ("instruction", "input", "response")


@given(
    frame=a_frame(), columns=st.lists(st.sampled_from(ROW), min_size=1, max_size=3, unique=True), plain=st.booleans()
)
@settings(max_examples=examples(40), deadline=None, suppress_health_check=HEALTH)
def test_no_duplicates_fails_as_many_copies_as_pandera(database, folder, frame, columns, plain):
    if len(columns) == 3 and plain:
        frame = frame.with_columns(pl.col(ROW).fill_null(""))
    rule = Rule(id="r", check=Check(no_duplicates=Duplicates(columns=columns, normalised=not plain)))
    compared = frame.with_columns(pl.col(ROW).fill_null(""))
    if not plain:
        compared = compared.with_columns(
            pl.col(ROW).str.to_lowercase().str.replace_all("[^a-z]+", " ").str.strip_chars()
        )
    schema = pa.DataFrameSchema(unique=list(columns))
    failed, wanted = by_sql(database, folder, frame, rule), by_pandera(compared, schema)
    key = {row["n"]: tuple(row[column] for column in columns) for row in compared.iter_rows(named=True)}
    # pandera has all copies; which one of them stays is for their ids to say, how many go is not.
    assert Counter(key[n] for n in failed) == Counter(key[n] for n in wanted) - Counter({key[n] for n in wanted})


@given(frame=a_frame())
@settings(max_examples=examples(30), deadline=None, suppress_health_check=HEALTH)
def test_no_conflicts_fails_every_answer_to_a_question_with_several(database, folder, frame):
    rule = Rule(id="r", check="no_conflicts")
    answers = defaultdict(set)
    rows = [tuple(text or "" for text in row) for row in frame.select(ROW).iter_rows()]
    for instruction, given_input, response in rows:
        answers[instruction, given_input].add(response)
    wanted = {n for n, row in enumerate(rows) if len(answers[row[:2]]) > 1}
    assert by_sql(database, folder, frame, rule) == wanted


@pytest.mark.parametrize(
    ("check", "column", "fails"),
    [
        ({"isin": ["a", 1]}, "t", {2, 4, 5}),
        ({"isin": [1, 2]}, "t", {0, 2, 4, 5}),
        ({"isin": ["a", 1]}, "x", {1, 2}),
        ({"notin": [1, 2]}, "t", {1}),
        ({"equal_to": 1}, "t", {0, 2, 4, 5}),
        ({"in_range": {"min": 0}}, "t", {0, 2, 5}),
        ({"str_length": {"max": 2}}, "x", {0, 1, 2}),
    ],
)
def test_a_column_of_another_kind_is_read_as_the_argument_asks(database, folder, check, column, fails):
    frame = pl.DataFrame(
        {
            "t": ["a", "1", "x", None, "0.5", ""],
            "x": [1.0, 2.0, 0.5, None, None, None],
            **dict.fromkeys(ROW, ["q"] * 6),
        },
        strict=False,
    ).with_row_index("n")
    rule = Rule(id="r", column=column, check=alpaqual_check(check))
    assert by_sql(database, folder, frame.with_columns(pl.col("n").cast(pl.Int64)), rule) == fails


def alpaqual_check(words):
    import msgspec

    return msgspec.convert(words, Check)


RULES = """\
- {id: length, column: response, check: {str_length: {min: 2, max: 8}}}
- {id: start, column: response, check: {str_matches: "a|[0-9]+"}}
- {id: holds, column: instruction, check: {str_contains: "[0-9]"}}
- {id: clean, column: response, check: {not_matches: "[%_]"}}
- {id: there, column: input, check: not_nullable}
- {id: once, column: instruction, check: unique}
- {id: score, column: score, check: {in_range: {min: 0, max: 5}}}
- {id: low, column: score, check: {less_than: 4}, warn: 0}
- {id: topic, column: topic, check: {isin: [x, "y"]}}
- {id: copies, check: no_duplicates}
- {id: alike, check: {no_duplicates: {columns: [instruction], normalised: true}}}
- {id: conflicts, check: no_conflicts}
- {id: words, where: "length(response) > length(instruction) OR input IS NOT NULL"}
"""
RECORDS = st.lists(
    st.fixed_dictionaries(
        {
            "instruction": st.sampled_from(["q1", "Q1", "q2!", "q2", "what"]),
            "input": st.none() | st.sampled_from(["", "in"]),
            "response": st.sampled_from(["a", "ab", "xb", "50%_off", "a longer answer\nof two lines", "é漢😀"]),
            "score": st.none() | st.sampled_from([0, 3.5, 4, 5, 5.5, -1]),
            "topic": st.none() | st.sampled_from(["x", "y", "z", ""]),
        }
    ),
    max_size=10,
)


@pytest.mark.slow
@given(records=RECORDS)
@settings(max_examples=examples(3), deadline=None)
def test_the_pandera_schema_of_rules_finds_what_a_run_finds(tmp_path_factory, records):
    folder = tmp_path_factory.mktemp("both")
    whole = {"instruction": "q3", "input": "in", "response": "bcd", "score": 1.5, "topic": "x"}
    lines = "".join(json.dumps(record) + "\n" for record in [whole, *records])
    (folder / "rows.jsonl").write_text(lines, encoding="utf-8")
    (folder / "rules").mkdir()
    (folder / "rules" / "both.yaml").write_text(RULES, encoding="utf-8")
    recipe = {
        "version": 1,
        "name": "both",
        "sources": [{"path": "rows.jsonl"}],
        "rules": ["both"],
        "datasets": {"full": {}},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    run = alpaqual.run(folder / "recipe.yaml")
    rows = pl.read_parquet(run.folder / "tables" / "rows.parquet").sort("n")
    failures = pl.read_parquet(run.folder / "tables" / "failures.parquet")
    position = {n: index for index, n in enumerate(rows["n"])}
    found = defaultdict(set)
    for rule, n in failures.select("rule", "n").iter_rows():
        found[rule].add(position[n])
    own = {f"source.{column}": column for column in ("score", "topic")}
    frame = rows.select("instruction", "input", "response", *own).rename(own)
    rules = yaml.safe_load(RULES)
    for words in rules:
        path = folder / "rules" / "one.yaml"
        path.write_text(yaml.safe_dump([{key: words[key] for key in words if key != "warn"}]), encoding="utf-8")
        failed = by_pandera(frame, alpaqual.pandera_schema(path))
        if words["id"] in ("copies", "alike"):
            # Of copies, the one with the first id stays in a run and the first in its order in a frame.
            assert len(failed) == len(found[words["id"]]), words
        elif words["id"] == "once":
            assert failed == found["once"]
        else:
            assert failed == found[words["id"]], words


@pytest.mark.parametrize(
    ("check", "values", "fails"),
    [
        ("{str_matches: 'a|b'}", ["xb", "b"], {0}),
        (r"{str_matches: '\p{L}+'}", ["é", "1"], {1}),
        ("{str_contains: 'a(?i)b'}", ["xaB", "Ab"], {1}),
        ("{isin: [0, 1]}", [0.0, 2.0], {1}),
        ("{isin: [0, 0.5]}", [0, 2], {1}),
        ("unique", ["a", "a", None, None], {0, 1}),
    ],
)
def test_the_pandera_schema_of_a_rule_reads_it_as_a_run_does(tmp_path, check, values, fails):
    path = tmp_path / "rules.yaml"
    path.write_text(f"- {{id: r, column: c, check: {check}}}\n", encoding="utf-8")
    assert by_pandera(pl.DataFrame({"c": values}), alpaqual.pandera_schema(path)) == fails


def test_the_pandera_schema_of_a_rule_on_turns(tmp_path):
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "no"},
        {"role": "assistant", "content": "fine"},
    ]
    frame = pl.DataFrame({"instruction": ["q"] * 4, "response": ["fine", "no", "", ""]})
    messages = [None, None, json.dumps(turns), json.dumps(turns[:1])]
    path = tmp_path / "rules.yaml"
    path.write_text("- {id: r, turns: assistant, check: {str_length: {min: 3}}}", encoding="utf-8")
    schema = alpaqual.pandera_schema(path)
    assert by_pandera(frame, schema) == {1, 2, 3}
    assert by_pandera(frame.with_columns(messages=pl.Series(messages)), schema) == {1, 2}


def test_the_pandera_schema_of_rules_warns_where_a_rule_warns(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(
        '- {id: low, column: score, check: {less_than: 4}, warn: 0, description: "Low."}\n', encoding="utf-8"
    )
    schema = alpaqual.pandera_schema(path)
    with pytest.warns(pa.errors.SchemaWarning):
        schema.validate(pl.DataFrame({"score": [1.0, 4.0]}), lazy=True)
    assert schema.validate(pl.DataFrame({"score": [1.0, None]}), lazy=True).height == 2


def test_checks_of_a_rule_are_what_it_names():
    assert checks_of(Rule(id="r", column="c", check="unique")) == [("unique", True)]
    assert checks_of(Rule(id="r", column="c", check=Check(unique=False))) == []
    assert checks_of(Rule(id="r", where="a > 1")) == []
