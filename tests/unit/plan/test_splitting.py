"""The splits of a dataset, against the same definition in plain Python."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from fractions import Fraction

import duckdb
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import ErrorLevel
from tiers import examples

from alpaqual.plan.splitting import group_text, split_rows
from alpaqual.recipe.dataset_files import Split

NAMES = ("train", "validation", "test", "rest")
TEXTS = st.text(alphabet="ab\n é'\U0001f600", max_size=3)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "instruction": TEXTS,
            "input": st.none() | TEXTS,
            "messages": st.none()
            | st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), TEXTS), max_size=3),
            "grouped": st.none() | st.sampled_from(["g", "h"]),
            "stratum": st.none() | st.sampled_from(["x", "y", ""]),
        }
    ),
    max_size=40,
)
SHARES = st.lists(st.integers(1, 20), min_size=1, max_size=4).map(
    lambda parts: tuple((name, Fraction(part, sum(parts))) for name, part in zip(NAMES, parts, strict=False))
)


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def group_of(row, by_column):
    if by_column and row["grouped"] is not None:
        return f"group {row['grouped']}"
    prompt = row["instruction"] + (f"\n\n{row['input']}" if row["input"] else "")
    if row["messages"] is not None:
        prompt = next((text for role, text in row["messages"] if role == "user"), row["instruction"])
    return f"prompt {prompt}"


def expected(rows, split):
    """Row -> split, as the documentation defines it."""
    groups = defaultdict(list)
    for index, row in enumerate(rows):
        groups[md5(f"{split.seed} split {group_of(row, split.group)}")].append(index)
    cuts, total = [], Fraction(0)
    for name, share in split.shares:
        total += share
        cuts.append((total, name))
    found = {}
    if split.by is None:
        for hash_, members in groups.items():
            place = next(name for cut, name in cuts if int(hash_, 16) < cut * 2**128)
            found |= dict.fromkeys(members, place)
        return found
    strata = defaultdict(list)
    for hash_, members in groups.items():
        named = [rows[member]["stratum"] for member in members if rows[member]["stratum"] is not None]
        strata[min(named) if named else None].append((hash_, members))
    for stratum, inside in strata.items():
        size = sum(len(members) for _, members in inside)
        moved = Fraction(
            int(md5(f"{split.seed} " + ("no stratum" if stratum is None else f"stratum {stratum}"))[:4], 16), 2**16
        )
        before = 0
        for _, members in sorted(inside):
            found |= dict.fromkeys(members, next(name for cut, name in cuts if (before + moved) / size < cut))
            before += len(members)
    return found


def found_by_sql(rows, split, order):
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE rows (n BIGINT, id VARCHAR, instruction VARCHAR, input VARCHAR, messages VARCHAR);"
            "CREATE TABLE records (n BIGINT, record VARCHAR, grouped VARCHAR, stratum VARCHAR);"
            'CREATE TABLE "fates.d" (n BIGINT, id VARCHAR, fate VARCHAR)'
        )
        turns = {
            index: json.dumps([{"role": role, "content": text} for role, text in row["messages"]])
            for index, row in enumerate(rows)
            if row["messages"] is not None
        }
        ids = [f"i{index}" for index in order]
        columns = {key: [rows[index][key] for index in order] for key in ("instruction", "input", "grouped", "stratum")}
        tables = {
            "rows": [order, ids, columns["instruction"], columns["input"], [turns.get(index) for index in order]],
            "records": [order, [None for _ in order], columns["grouped"], columns["stratum"]],
            "fates.d": [order, ids, ["kept" for _ in order]],
        }
        for table, values in tables.items():
            lists = ", ".join(f"UNNEST(${n}::{'VARCHAR' if n > 1 else 'BIGINT'}[])" for n in range(1, len(values) + 1))
            connection.execute(f'INSERT INTO "{table}" SELECT {lists}', [list(each) for each in values])
        found = connection.execute(sql_of(split)).fetchall()
    assert all(row_id == f"i{n}" for n, row_id, _ in found)
    return {n: place for n, _, place in found}


def sql_of(split):
    return split_rows(
        "d",
        split,
        group=group_text("records.grouped" if split.group else None, conversations=True),
        stratum="records.stratum" if split.by else None,
        records=bool(split.group or split.by),
    )


@settings(max_examples=examples(150), deadline=None)
@given(rows=ROWS, shares=SHARES, by=st.booleans(), group=st.booleans(), seed=st.integers(0, 3), data=st.data())
def test_every_row_is_in_the_split_that_plain_python_gives_it(rows, shares, by, group, seed, data):
    split = Split(shares, "stratum" if by else None, "grouped" if group else None, seed)
    order = data.draw(st.permutations(range(len(rows))))
    found = found_by_sql(rows, split, order)
    assert found == expected(rows, split)
    groups = defaultdict(set)
    for index, row in enumerate(rows):
        groups[group_of(row, group)].add(found[index])
    assert all(len(places) == 1 for places in groups.values())


def rows_of(count, stratum=lambda index: None):
    empty = {"input": None, "messages": None, "grouped": None}
    return [{"instruction": f"q{index}", "stratum": stratum(index), **empty} for index in range(count)]


NINE_TO_ONE = (("train", Fraction(9, 10)), ("test", Fraction(1, 10)))


@pytest.mark.parametrize("seed", range(3))
def test_each_stratum_has_its_share_to_a_row_and_small_strata_have_it_together(seed):
    rows = rows_of(600, lambda index: "large" if index < 200 else f"small{index // 4}")
    split = Split(NINE_TO_ONE, by="stratum", seed=seed)
    found = found_by_sql(rows, split, range(600))
    counts = Counter((row["stratum"], found[index]) for index, row in enumerate(rows))
    assert counts["large", "test"] == 20
    # 100 strata of four rows: none has more than one test row, and about 40 have one.
    assert {count for (stratum, place), count in counts.items() if stratum != "large" and place == "test"} == {1}
    assert 25 <= sum(count for (_, place), count in counts.items() if place == "test") - 20 <= 55


def test_rows_that_come_later_change_no_split_without_strata():
    rows = rows_of(300)
    split = Split(NINE_TO_ONE)
    whole = found_by_sql(rows, split, range(300))
    assert found_by_sql(rows, split, range(100)) == {index: whole[index] for index in range(100)}
    assert 15 <= sum(place == "test" for place in whole.values()) <= 45


@pytest.mark.parametrize("by", [None, "stratum"])
@pytest.mark.parametrize("dialect", ["postgres", "snowflake"])
def test_what_decides_can_be_carried_to_another_engine(dialect, by):
    split = Split(NINE_TO_ONE, by=by)
    sql = split_rows(
        "d", split, group=group_text(None, conversations=False), stratum="rows.source" if by else None, records=False
    )
    (carried,) = sqlglot.transpile(sql, read="duckdb", write=dialect, unsupported_level=ErrorLevel.RAISE)
    assert "MD5" in carried
