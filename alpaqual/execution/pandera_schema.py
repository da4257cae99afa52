"""Rules -> a pandera schema for frames in a notebook: the same checks, by pandera's own names."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alpaqual.engines import viewing
from alpaqual.plan.checks import Columns, failing
from alpaqual.plan.source_columns import ROW, SOURCE, computed_values, own_value
from alpaqual.quote import name as quoted
from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.model import Rule
from alpaqual.store.frames import pandera_polars, polars
from alpaqual.values import ROW_FIELDS, distinct


def pandera_schema(rules: Sequence[Rule]) -> Any:
    """A `pandera.polars.DataFrameSchema` for frames with the columns that the rules name.

    A rule with `warn` and without `fail` warns, as pandera's `raise_warning` does. What pandera has no check for is computed
    by the engine that runs the rules, over the frame.
    """
    pa = pandera_polars()
    columns: dict[str, dict[str, Any]] = {}
    whole: list[Any] = []
    for rule in rules:
        settings = {
            "name": rule.id,
            "error": rule.description or rule.id,
            "raise_warning": rule.warn is not None and rule.fail is None,
        }
        check, argument = checks_of(rule)[0] if rule.where is None and rule.turns is None else ("", None)
        plugin = check_plugins().get(check)
        arguments = None if plugin is None else plugin.to_pandera(argument)
        if plugin is None or (arguments is None and plugin.PANDERA != "nullable"):
            whole.append(pa.Check(_holding(rule), **settings))
            continue
        column = columns.setdefault(str(rule.column), {"nullable": True, "checks": []})
        if arguments is None:
            column["nullable"] = False
        else:
            column["checks"].append(getattr(pa.Check, plugin.PANDERA)(*arguments, **settings))
    return pa.DataFrameSchema(
        {name: pa.Column(None, **column) for name, column in columns.items()}, checks=whole, strict=False
    )


_WITH_IDS = (
    "SELECT *, CONCAT(n, CASE WHEN ordinal > 1 THEN CONCAT('-', ordinal) ELSE '' END) AS id FROM (SELECT *, "
    "ROW_NUMBER() OVER (PARTITION BY instruction, input, response ORDER BY n) AS ordinal FROM frame) AS numbered"
)
"""The rows of a frame with ids: as in a run, the id of an exact copy has a hyphen."""


def _holding(rule: Rule) -> Any:
    """A check of a whole frame, by the SQL that a run uses: true for each row that passes the rule."""

    def holds(data: Any) -> Any:
        frame = data.lazyframe.collect()
        pl = polars()
        stored = distinct(frame.columns, prefix=SOURCE)
        conversations = frame.schema.get("messages") == pl.String
        fields = [*ROW_FIELDS, "messages"] if conversations else ROW_FIELDS
        stored |= {field: field for field in fields if field in stored}
        absent = [pl.lit(None, pl.String).alias(field) for field in ROW_FIELDS if field not in stored]
        numbered = (
            frame.rename(stored).with_columns(*absent).with_row_index("n").with_columns(pl.col("n").cast(pl.Int64))
        )
        columns = Columns(
            lambda column: quoted(f"{ROW}{own}" if (own := own_value(column)) else stored.get(column, column)),
            computed=computed_values(conversations=False),
            conversations=conversations,
        )
        found = failing(rule, 0, columns)
        parts = [f"rows AS ({_WITH_IDS})", *(f"{helper} AS ({query})" for helper, query in found.helpers)]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "frame.parquet"
            numbered.write_parquet(path)
            with viewing({"frame": path}) as database:
                query = f"WITH {', '.join(parts)} SELECT NOT ({found.predicate}) AS holds FROM rows ORDER BY n"
                rows = database.facts(query, rule.id)
        return pl.LazyFrame({"holds": [bool(row["holds"]) for row in rows]})

    return holds
