"""What every check of a rule must do, found as the package finds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from alpaqual import registry
from alpaqual.contracts import Check, Engine
from alpaqual.engines import open_engine
from alpaqual.quote import name as quoted
from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.model import Check as CheckText
from alpaqual.recipe.schema import json_schema

NAMES = registry.names("checks")
ARGUMENTS: tuple[Any, ...] = (True, {"min": 1}, {}, 1, "a", ["a"], "no_user")
"""One of these is an argument of any check."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """Rows with a text, a number, nothing, and a copy of the first."""
    texts = ["aa", "Über", None, "", "aa"]
    frame = pl.DataFrame({"c": texts, "x": [1.0, -2.5, None, 0.0, 1.0]}).with_columns(
        instruction=pl.col("c"), input=pl.lit(None, pl.String), response=pl.col("c"), n=pl.int_range(5)
    )
    path: Path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    talks = {"messages": ["[]", *[None] * 4], "findings": [["no_user"], [], None, None, None]}
    frame = frame.with_columns(**{name: pl.Series(values) for name, values in talks.items()})
    frame.with_columns(id=pl.Series(["1", "2", "3", "4", "1-2"])).write_parquet(path)
    opened = open_engine(threads=1)
    opened.view("rows", [path])
    yield opened
    opened.close()


def argument_of(plugin: Check) -> Any:
    for argument in ARGUMENTS:
        try:
            return msgspec.convert(argument, plugin.ARGUMENT)
        except msgspec.ValidationError:
            continue
    raise AssertionError(f"{plugin.ARGUMENT}: name an argument in ARGUMENTS")


@pytest.mark.parametrize("check", NAMES)
def test_a_check_says_what_it_is(check: str) -> None:
    plugin = check_plugins()[check]
    assert isinstance(plugin, registry.find("checks", check))
    assert plugin.DESCRIPTION.endswith(".") and "\n" not in plugin.DESCRIPTION
    assert check.isidentifier()
    assert isinstance(plugin.problem(argument_of(plugin)), str)
    # Where false switches a check off, true and false are arguments.
    if plugin.SWITCH:
        assert msgspec.convert(False, plugin.ARGUMENT) is False


@pytest.mark.parametrize("check", NAMES)
def test_a_recipe_its_schema_and_editors_know_the_check(check: str) -> None:
    plugin = check_plugins()[check]
    argument = argument_of(plugin)
    words = {check: msgspec.to_builtins(argument)}
    assert getattr(msgspec.convert(words, CheckText), check) == argument
    for kind in ("recipe", "rules"):
        definitions = json_schema(kind)["definitions"]
        assert definitions["Check"]["properties"][check]["description"] == plugin.DESCRIPTION
        (alone,) = (
            option["enum"] for option in definitions["Rule"]["properties"]["check"]["anyOf"] if "enum" in option
        )
        assert (check in alone) == plugin.SWITCH


@pytest.mark.parametrize("column", ["c", "x"])
@pytest.mark.parametrize("check", NAMES)
def test_a_check_finds_failing_rows_and_passes_over_nulls(engine: Engine, check: str, column: str) -> None:
    plugin = check_plugins()[check]
    found = plugin.failing(argument_of(plugin), "" if plugin.WHOLE_ROWS else quoted(column))
    assert bool(found.predicate) != bool(found.query)
    if plugin.WHOLE_ROWS:
        assert found.column and found.value, "without a column of the rule, the check names what it shows"
    if found.query:
        failing = engine.facts(found.query, check)
        assert [list(row) for row in failing] == [["n"]] * len(failing)
        numbers = [row["n"] for row in failing]
        assert len(numbers) == len(set(numbers)) and set(numbers) <= set(range(5))
        return
    rows = engine.facts(f"SELECT n, {found.predicate} AS fails FROM rows ORDER BY n", check)
    assert all(isinstance(row["fails"], bool) for row in rows), "never null"
    if not plugin.WHOLE_ROWS:
        # The third row holds null.
        assert rows[2]["fails"] == (plugin.PANDERA == "nullable")


@pytest.mark.parametrize("check", [name for name in NAMES if check_plugins()[name].PANDERA])
def test_pandera_has_what_a_check_names(check: str) -> None:
    import pandera.polars as pa

    plugin = check_plugins()[check]
    if plugin.PANDERA in ("nullable", "unique"):
        return
    argument = argument_of(plugin)
    arguments = plugin.to_pandera(argument)
    assert hasattr(pa.Check, plugin.PANDERA)
    if arguments is not None:
        assert getattr(pa.Check, plugin.PANDERA)(*arguments)
