"""Rules on turns: the text of each turn of a row, and the rows of which one fails."""

from __future__ import annotations

from alpaqual import sql
from alpaqual.quote import literal, name
from alpaqual.recipe.check_plugins import check_plugins
from alpaqual.recipe.crosscheck import checks_of
from alpaqual.recipe.expression import render_where
from alpaqual.recipe.model import Rule, Turns
from alpaqual.values import TURN_VALUES

TURN_TEXTS = "turn_texts"
"""Name of a query: n, turn (from 1), role, content of every turn; a triple is a user turn and an assistant turn."""
_COLUMNS = ("content", "role", "turn")
"""Columns of TURN_TEXTS with the values of a turn, in the order of TURN_VALUES."""
_QUESTION = f"CASE WHEN instruction IS NOT NULL THEN CONCAT_WS({literal(chr(10) * 2)}, NULLIF(instruction, ''), NULLIF(input, '')) END"


def turn_texts(*, conversations: bool) -> str:
    """SQL: the turns of all rows. With `conversations`, `rows` has the column `messages`."""
    triple = " WHERE messages IS NULL" if conversations else ""
    triples = (
        f"SELECT n, CAST(1 AS BIGINT) AS turn, 'user' AS role, {_QUESTION} AS content FROM rows{triple}\n"
        f"UNION ALL SELECT n, CAST(2 AS BIGINT) AS turn, 'assistant' AS role, response AS content FROM rows{triple}"
    )
    if not conversations:
        return triples
    numbers = "UNNEST(RANGE(1, CAST(JSON_ARRAY_LENGTH(messages) AS BIGINT) + 1)) AS turn"
    listed = f"SELECT n, {numbers}, UNNEST(CAST(messages AS JSON[])) AS message FROM rows WHERE messages IS NOT NULL"
    return (
        f"{triples}\nUNION ALL SELECT n, turn, message ->> '$.role' AS role, message ->> '$.content' AS content "
        f"FROM ({listed}) AS listed"
    )


def failing_turns(rule: Rule, turns: Turns) -> str:
    """SQL over `rows` and TURN_TEXTS: n and the first failing turn, as text, of each row that fails a rule on turns."""
    predicate = _predicate(rule)
    role = "" if turns.role is None else f" WHERE role = {literal(turns.role)}"
    shown = "CONCAT('turn ', turn, ': ', content)"
    if turns.at is None:
        wrong = f"SELECT n, turn, {shown} AS value, {predicate} AS wrong FROM {TURN_TEXTS}{role}"
        return f"SELECT n, ARG_MIN(value, turn) AS value FROM ({wrong}) AS found WHERE wrong GROUP BY n"
    order, place = ("turn DESC" if turns.at == "last" else "turn"), (turns.at if isinstance(turns.at, int) else 1)
    counted = f"ROW_NUMBER() OVER (PARTITION BY n ORDER BY {order}) AS place"
    placed = f"SELECT n, turn, role, content, {counted} FROM {TURN_TEXTS}{role}"
    # A turn that a row lacks is null: not_nullable finds it.
    joined = f"rows LEFT JOIN ({placed}) AS placed ON placed.n = rows.n AND place = {place}"
    value = f"CASE WHEN turn IS NULL THEN {literal(f'no {turns}')} ELSE {shown} END"
    one = f"SELECT rows.n AS n, placed.turn AS turn, placed.role AS role, placed.content AS content FROM {joined}"
    return f"SELECT n, {value} AS value FROM ({one}) AS one WHERE {predicate}"


def _predicate(rule: Rule) -> str:
    """SQL over one turn, true where it fails the rule and never null."""
    if rule.where is not None:
        columns = {f"turn.{value}": name(column) for value, column in zip(TURN_VALUES, _COLUMNS, strict=True)}
        return sql.or_false(f"NOT ({render_where(rule.where, columns.__getitem__)})")
    check, argument = checks_of(rule)[0]
    return sql.or_false(check_plugins()[check].failing(argument, "content").predicate)
