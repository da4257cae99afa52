"""Conversations in a plan: which columns of a source make one, and what the table `rows` has of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alpaqual.conversation.normal_form import NORMAL_FORM
from alpaqual.plan.tables import Table, scanned, turned
from alpaqual.quote import literal, name
from alpaqual.values import SourceFacts

COLUMNS: Mapping[str, str] = {"messages": "VARCHAR", "tools": "VARCHAR", "turns": "BIGINT", "findings": "VARCHAR[]"}
"""Columns of `rows` where a source has conversations, with their types: NULL for other rows."""

NO_TURNS = (
    "SELECT CAST(0 AS BIGINT) AS position, '' AS problem, '' AS instruction, '' AS response, '' AS messages, '' AS tools, "
    "CAST(0 AS BIGINT) AS turns, '' AS findings, '' AS identity WHERE FALSE"
)
"""The table of conversations in the normal form, before Python fills it.

`findings` are joined by commas. `identity` is a hash of what the texts lack; NULL where they are all there is."""


@dataclass(frozen=True, kw_only=True)
class ConversationReading:
    """How the rows of a scanned table become conversations."""

    table: Table
    """The table to fill, as NO_TURNS makes it."""
    query: str
    """Position and cells of the fields, each as text."""
    fields: tuple[str, ...]
    json: frozenset[str]
    """Fields whose text is JSON."""
    typed: bool
    """Whether objects have keys with null for what other rows of the file have."""
    roles: Mapping[str, str]
    placeholder: bool
    most: int
    """Characters of the largest row."""


def conversation_reading(facts: SourceFacts, cells: str, names: Mapping[str, str]) -> ConversationReading | None:
    """How the conversations of a source are read, with the `names` of its cells; None for a source of three texts."""
    if not facts.is_conversation:
        return None
    as_json = {
        field
        for field, column in facts.fields.items()
        if cells == "json" or (cells == "typed" and facts.columns.get(column) != "VARCHAR")
    }
    picked = "".join(
        f", CAST({f'TO_JSON({cell})' if cells == 'typed' and field in as_json else cell} AS VARCHAR) AS {name(field)}"
        for field, cell in ((field, name(names[column])) for field, column in facts.fields.items())
    )
    return ConversationReading(
        table=turned(facts.name),
        query=f"SELECT position{picked} FROM {scanned(facts.name)}",
        fields=tuple(facts.fields),
        json=frozenset(as_json),
        typed=cells == "typed",
        roles=facts.roles,
        placeholder=facts.placeholder,
        most=facts.options.max_row_bytes,
    )


def conversation_settings(facts: SourceFacts) -> dict[str, Any]:
    """What a fingerprint has of conversations."""
    if not facts.is_conversation:
        return {}
    return {"normal_form": NORMAL_FORM, "roles": dict(facts.roles), "placeholder": facts.placeholder}


def relation(source: str) -> str:
    """SQL: cells of a source with its conversations."""
    columns = ("problem", "instruction", "response", "messages", "tools", "turns", "findings", "identity")
    picked = ", ".join(f"turned.{column} AS {name(f'turned {column}')}" for column in columns)
    return f"(SELECT scanned.*, {picked} FROM {scanned(source)} AS scanned JOIN {turned(source)} AS turned USING (position)) AS conversations"


def values(conversation: bool) -> dict[str, str]:
    """SQL of each of COLUMNS and of `identity`, of a conversation or of a row of three texts."""
    if not conversation:
        return {
            **{column: f"CAST(NULL AS {kind})" for column, kind in COLUMNS.items()},
            "identity": "CAST(NULL AS VARCHAR)",
        }
    found = name("turned findings")
    question, answer = (f"TO_JSON({name(f'turned {text}')})" for text in ("instruction", "response"))
    plain = (
        f"""CONCAT('[{{"role":"user","content":', {question}, '}},{{"role":"assistant","content":', {answer}, '}}]')"""
    )
    return {
        **{column: name(f"turned {column}") for column in (*COLUMNS, "identity")},
        # Python leaves the turns out where the two texts are all that they hold.
        "messages": f"COALESCE({name('turned messages')}, {plain})",
        "findings": f"CASE WHEN {found} = '' THEN CAST([] AS VARCHAR[]) ELSE STRING_SPLIT({found}, {literal(',')}) END",
    }


def too_long(most: int) -> str:
    """The reason for a row of more than `most` characters."""
    return f"more than {most // 2**20} million characters" if most % 2**20 == 0 else f"more than {most} characters"
