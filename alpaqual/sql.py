"""SQL expressions that checks and stages share: membership, bounds, normalised text, keys over several columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from alpaqual import quote


def or_false(predicate: str) -> str:
    """A predicate that is false where it would be null."""
    return f"COALESCE({predicate}, FALSE)"


def text(column: str) -> str:
    """A column as text."""
    return f"CAST({column} AS VARCHAR)"


def among(column: str, values: Sequence[Any]) -> str:
    """SQL that is true where the column has one of the values, each compared by its own type: truth value, number or text."""
    truths = [quote.literal(str(value).lower()) for value in values if isinstance(value, bool)]
    given = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    # A DOUBLE holds whole numbers up to 2^53 exactly; above, all its values are whole.
    large = [value for value in given if isinstance(value, int) and 2**53 <= abs(value) < 2**127]
    # A truth value is 1 or 0 among numbers; of texts it is its name alone.
    numbers = [quote.number(value) for value in given if value not in large]
    numbers += [quote.number(value) for value in values if isinstance(value, bool)]
    texts = [quote.literal(value) for value in values if isinstance(value, str)]
    kinds = (
        ("LOWER(CAST({} AS VARCHAR))", truths),
        ("TRY_CAST({} AS DOUBLE)", numbers),
        ("TRY_CAST({} AS HUGEINT)", [str(value) for value in large]),
        ("CAST({} AS VARCHAR)", texts),
    )
    parts = [or_false(f"{cast.format(column)} IN ({', '.join(alike)})") for cast, alike in kinds if alike]
    return " OR ".join(parts)


def compared(column: str, operator: str, bound: float) -> str:
    """SQL: whether the column's number compares to a bound. Whole numbers are compared exactly, also above 2^53."""
    number, end = f"TRY_CAST({column} AS DOUBLE)", quote.number(bound)
    plain = f"{number} {operator} {end}"
    whole = int(bound) if math.isfinite(bound) and bound == int(bound) else 0
    if not 2**53 <= abs(whole) < 2**127:
        return plain
    # Numbers of this size are whole; DuckDB rounds a negative HUGEINT to another double than the nearest.
    exact = f"TRY_CAST({column} AS HUGEINT)"
    return (
        f"CASE WHEN ABS({number}) >= {2**52} AND {exact} IS NOT NULL THEN {exact} {operator} {whole} ELSE {plain} END"
    )


def outside(value: str, low: object, high: object) -> str:
    """SQL that is true where the value is below `low` or above `high`; None is no bound."""
    sides = [f"{value} < {low}"] if low is not None else []
    sides += [f"{value} > {high}"] if high is not None else []
    return " OR ".join(sides)


def normalised(column: str) -> str:
    """A text's letters, marks, digits and symbols in lower case and composed, with one space between words.

    Letters of many scripts have marks. Symbols (`+`, `=`, `$`, emoji) tell words apart, as do `#` and `@`, which Unicode takes
    for punctuation; so do the joiners of emoji and of Indic and Persian letters.
    """
    composed = f"LOWER(NFC_NORMALIZE(COALESCE({column}, '')))"
    return (
        f"TRIM(REGEXP_REPLACE({composed}, '[^\\p{{L}}\\p{{M}}\\p{{N}}\\p{{S}}#@%&*\\x{{200c}}\\x{{200d}}]+', ' ', 'g'))"
    )


def joined_key(parts: Sequence[str]) -> str:
    """One md5 over several texts, each preceded by its length, so that different texts never give the same bytes."""
    pieces = ", ".join(f"LENGTH({part}), ':', {part}" for part in parts)
    return f"MD5(CONCAT({pieces}))"
