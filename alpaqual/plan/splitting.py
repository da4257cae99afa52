"""SQL that gives each row of a dataset its split (docs/architecture.md, "Splits, exactly")."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from alpaqual.plan.tables import RECORDS, ROW_CATEGORIES, fates
from alpaqual.quote import literal
from alpaqual.recipe.dataset_files import Split
from alpaqual.values import Fate

_HASHES = 2**128
_STEPS = 2**16
_HEX = "0123456789abcdef"


def kept_rows(dataset: str) -> str:
    """SQL: n of the rows of a dataset."""
    return f"SELECT n FROM {fates(dataset)} WHERE fate = '{Fate.KEPT}'"


def split_rows(dataset: str, split: Split, *, group: str, stratum: str | None, records: bool) -> str:
    """SQL: n, id and split of each row of a dataset.

    `group` and `stratum` are SQL of the texts that rows of a group and of a stratum share; with `records`, they are of the
    table of records too.
    """
    joined = f" LEFT JOIN {RECORDS} AS records USING (n)" if records else ""
    named = "" if stratum is None else f", {stratum} AS stratum"
    kept = (
        f"SELECT rows.n AS n, rows.id AS id, MD5(CONCAT({literal(f'{split.seed} split ')}, {group})) AS hash{named}\n"
        f"FROM ({kept_rows(dataset)}) AS chosen JOIN rows USING (n){joined}"
    )
    if stratum is None:
        return f"SELECT n, id, {_by_hash(split.shares)} AS split\nFROM ({kept}) AS kept"
    return _stratified(split, kept)


def group_text(column: str | None, *, conversations: bool) -> str:
    """SQL: the text that rows of one group share: of a column, or of one prompt where it is null or none is named.

    A conversation's prompt is its first user turn.
    """
    prompt = "CASE WHEN COALESCE(rows.input, '') = '' THEN rows.instruction ELSE CONCAT(rows.instruction, CHR(10), CHR(10), rows.input) END"
    if conversations:
        contents, roles = (f"JSON_EXTRACT_STRING(rows.messages, '$[*].{key}')" for key in ("content", "role"))
        first = f"LIST_EXTRACT({contents}, LIST_POSITION({roles}, 'user'))"
        prompt = f"CASE WHEN rows.messages IS NULL THEN {prompt} ELSE COALESCE({first}, rows.instruction) END"
    prompt = f"CONCAT('prompt ', {prompt})"
    return prompt if column is None else f"CASE WHEN {column} IS NULL THEN {prompt} ELSE CONCAT('group ', {column}) END"


def in_category(category: str) -> str:
    """SQL: whether a row is in a category, as a text."""
    return f"CASE WHEN rows.n IN (SELECT n FROM {ROW_CATEGORIES} WHERE category = {literal(category)}) THEN 'in' ELSE 'out' END"


def _by_hash(shares: Sequence[tuple[str, Fraction]]) -> str:
    """SQL: the split of a hash, by the part of all hashes below it. 32 hexadecimal digits compare as their numbers do."""
    cases, total = [], Fraction(0)
    for name, share in shares[:-1]:
        total += share
        cases.append(f"WHEN hash < '{_HASHES * total.numerator // total.denominator:032x}' THEN {literal(name)}")
    return _case(cases, shares[-1][0])


def _stratified(split: Split, kept: str) -> str:
    """SQL: the groups of each stratum in the order of their hashes, cut at the shares of the stratum's rows.

    The cuts are moved by a part of a row that the stratum's hash decides, so that many small strata have the shares together.
    """
    groups = "SELECT hash, MIN(stratum) AS stratum, COUNT(*) AS size FROM kept GROUP BY hash"
    before = (
        "SUM(size) OVER (PARTITION BY stratum ORDER BY hash ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) - size"
    )
    named = "CASE WHEN stratum IS NULL THEN 'no stratum' ELSE CONCAT('stratum ', stratum) END"
    placed = (
        f"SELECT hash, CAST({before} AS HUGEINT) AS before, CAST(SUM(size) OVER (PARTITION BY stratum) AS HUGEINT) AS size, "
        f"MD5(CONCAT({literal(f'{split.seed} ')}, {named})) AS moved FROM groups"
    )
    digits = (f"(STRPOS('{_HEX}', SUBSTR(moved, {place + 1}, 1)) - 1) * {16 ** (3 - place)}" for place in range(4))
    moved = " + ".join(digits)
    cases, total = [], Fraction(0)
    for name, share in split.shares[:-1]:
        total += share
        cut = f"(before * {_STEPS} + {moved}) * {total.denominator} < size * {_STEPS * total.numerator}"
        cases.append(f"WHEN {cut} THEN {literal(name)}")
    chosen = _case(cases, split.shares[-1][0])
    return (
        f"WITH kept AS ({kept}),\ngroups AS ({groups}),\nplaced AS ({placed})\n"
        f"SELECT kept.n AS n, kept.id AS id, {chosen} AS split\nFROM kept JOIN placed USING (hash)"
    )


def _case(cases: Sequence[str], last: str) -> str:
    return f"CASE {' '.join(cases)} ELSE {literal(last)} END" if cases else literal(last)
