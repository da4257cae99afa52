"""Rules -> a pandera schema for frames in a notebook: the same checks, by pandera's own names."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alpaqual.engines import viewing
from alpaqual.plan.checks import failing
from alpaqual.quote import name as quoted
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.model import Length, Range, Rule
from alpaqual.store.frames import pandera_polars, polars
from alpaqual.values import ROW_FIELDS

_BY_THE_ENGINE = (
    "where", "no_duplicates", "no_conflicts", "unique",
    # RE2, which runs the rules, is not Rust's regular expressions, and pandera compares lists within one type alone.
    "str_matches", "str_contains", "not_matches", "isin", "notin",
)  # fmt: skip


def pandera_schema(rules: Sequence[Rule]) -> Any:
    """A `pandera.polars.DataFrameSchema` for frames with the columns that the rules name.

    A rule with `warn` and without `fail` warns, as pandera's `raise_warning` does. What pandera has no check for is worked
    out by the engine that runs the rules, over the frame.
    """
    pa = pandera_polars()
    columns: dict[str, dict[str, Any]] = {}
    whole: list[Any] = []
    for rule in rules:
        check, argument = ("where", rule.where) if rule.where is not None else checks_of(rule)[0]
        settings = {
            "name": rule.id,
            "error": rule.description or rule.id,
            "raise_warning": rule.warn is not None and rule.fail is None,
        }
        if check in _BY_THE_ENGINE:
            whole.append(pa.Check(_holding(rule), **settings))
            continue
        column = columns.setdefault(str(rule.column), {"nullable": True, "checks": []})
        if check == "not_nullable":
            column["nullable"] = False
        else:
            column["checks"].append(_check(pa, check, argument, settings))
    return pa.DataFrameSchema(
        {name: pa.Column(None, **column) for name, column in columns.items()}, checks=whole, strict=False
    )


def _check(pa: Any, check: str, argument: object, settings: dict[str, Any]) -> Any:
    match argument:
        case Length(min=low, max=high):
            return pa.Check.str_length(low, high, **settings)
        case Range(min=low, max=high):
            ends = (float("-inf") if low is None else low, float("inf") if high is None else high)
            return pa.Check.in_range(*ends, **settings)
    return getattr(pa.Check, check)(argument, **settings)


def _holding(rule: Rule) -> Any:
    """A check of a whole frame: whether each of its rows holds to the rule, by the SQL that a run uses."""

    def holds(data: Any) -> Any:
        frame = data.lazyframe.collect()
        pl = polars()
        absent = [pl.lit(None, pl.String).alias(field) for field in ROW_FIELDS if field not in frame.columns]
        # The engine tells copies apart by ids; a frame has none, so its rows are numbered and copies found by their texts.
        numbered = frame.with_columns(*absent).with_row_index("n").with_columns(pl.col("n").cast(pl.Int64))
        found = failing(rule, 0, quoted)
        predicate = "n IN (SELECT n FROM copies)" if found.predicate == "CONTAINS(id, '-')" else found.predicate
        copies = "SELECT n FROM (SELECT n, ROW_NUMBER() OVER (PARTITION BY instruction, input, response ORDER BY n) AS k FROM rows) AS c WHERE k > 1"
        helpers = [f"copies AS ({copies})"] + ([f"{found.helper[0]} AS ({found.helper[1]})"] if found.helper else [])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "rows.parquet"
            numbered.with_columns(id=pl.format("{}-", pl.col("n"))).write_parquet(path)
            with viewing({"rows": path}) as database:
                query = f"WITH {', '.join(helpers)} SELECT NOT ({predicate}) AS holds FROM rows ORDER BY n"
                rows = database.facts(query, rule.id)
        return pl.LazyFrame({"holds": [bool(row["holds"]) for row in rows]})

    return holds
