"""Judgements as rows of a table, in the store and in the run folder, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alpaqual.contracts import Engine
from alpaqual.evaluation.values import Judgement
from alpaqual.plan.tables import VOTED, Table
from alpaqual.quote import name
from alpaqual.values import Vote

_VOTE = {
    "reply_{}": "VARCHAR",
    "winner_{}": "VARCHAR",
    "score_{}_1": "DOUBLE",
    "score_{}_2": "DOUBLE",
    "reason_{}": "VARCHAR",
}
COLUMNS = {
    **dict.fromkeys(
        ("a", "b", "test_set", "judge", "id", "category", "skill", "question", "answer_a", "answer_b"), "VARCHAR"
    ),
    **{column.format("a_first"): kind for column, kind in _VOTE.items()},
    **{column.format("b_first"): kind for column, kind in _VOTE.items()},
    "one_order": "BOOLEAN",
    "single": "BOOLEAN",
    "asked": "BOOLEAN",
}
"""Columns of a table of judgements, with their SQL types. `score_a_first_1` is the score of the first answer in the order a, b."""
VERDICTS = Table("verdicts")
_WRITTEN = Table("verdicts written")
_BATCH = 1_000


def fill_votes(engine: Engine, judgements: Iterable[Judgement], what: str) -> None:
    """Make the temporary table of the votes of a stage."""
    fill_table(engine, VOTED, COLUMNS, [row_of(judgement) for judgement in judgements], what)


def fill_table(
    engine: Engine, table: Table, columns: Mapping[str, str], rows: Sequence[Sequence[Any]], what: str
) -> None:
    """Make a temporary table of rows; `columns` has the SQL type of each column."""
    empty = ", ".join(f"CAST(NULL AS {kind}) AS {name(column)}" for column, kind in columns.items())
    engine.create(table.name, f"SELECT {empty} WHERE FALSE", what)
    engine.insert(table.name, rows, what)


def row_of(judgement: Judgement) -> tuple[Any, ...]:
    """A judgement as a row of COLUMNS."""
    groups = dict(judgement.groups)
    return (
        judgement.a,
        judgement.b,
        judgement.test_set,
        judgement.judge,
        judgement.id,
        groups.get("category"),
        groups.get("skill"),
        judgement.question,
        judgement.text_a,
        judgement.text_b,
        *_vote_row(judgement.a_first),
        *_vote_row(judgement.b_first),
        judgement.one_order,
        judgement.single,
        judgement.asked,
    )


def _vote_row(vote: Vote) -> tuple[Any, ...]:
    scores = [*vote.scores, None, None]
    return vote.reply, vote.winner, scores[0], scores[1], vote.reason


def read_judgements(engine: Engine, table: Table) -> list[Judgement]:
    """The judgements of a table, in its order."""
    columns = ", ".join(map(name, COLUMNS))
    return [judgement_of(row) for batch in engine.rows(f"SELECT {columns} FROM {table}", _BATCH) for row in batch]


def judgement_of(row: Sequence[Any]) -> Judgement:
    """A row of COLUMNS as a judgement."""
    a, b, test_set, judge, item, category, skill, question, text_a, text_b = row[:10]
    size = len(_VOTE)
    a_first, b_first = _vote_of(row[10 : 10 + size]), _vote_of(row[10 + size : 10 + 2 * size])
    groups = tuple((kind, found) for kind, found in (("category", category), ("skill", skill)) if found is not None)
    one_order, single, asked = row[-3:]
    return Judgement(
        a,
        b,
        test_set,
        item,
        judge,
        a_first,
        b_first,
        groups,
        question,
        text_a,
        text_b,
        one_order=one_order,
        single=single,
        asked=asked,
    )


def _vote_of(row: Sequence[Any]) -> Vote:
    reply, winner, first, second, reason = row
    return Vote(winner, tuple(score for score in (first, second) if score is not None), reason or "", reply or "")


def write_verdicts(
    engine: Engine, judgements: Sequence[Judgement], verdict: Callable[[Judgement], str | None], path: Path
) -> None:
    """Write all judgements, each with its verdict, as a Parquet file."""
    rows = [(*row_of(judgement), verdict(judgement)) for judgement in judgements]
    try:
        fill_table(engine, VERDICTS, {**COLUMNS, "verdict": "VARCHAR"}, rows, "verdicts")
        engine.table(_WRITTEN.name, f"SELECT * FROM {VERDICTS}", path, "verdicts")
    finally:
        engine.drop(_WRITTEN.name)
        engine.drop(VERDICTS.name)
