"""Items that judges saw, as a run keeps them: those that a reader wants first, and no more than a page takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaqual import quote
from alpaqual.engines import viewing

VERDICTS = Path("evaluation", "verdicts.parquet")
"""The table of verdicts in a run folder: one row an item."""

EXAMPLES = 3
"""Wins, and losses, of each category that come first."""

MOST_ITEMS = 2_000
MOST_CHARACTERS = 8_000_000
"""Characters of all texts together."""

MOST_TEXT = 8_000
"""Characters of one text."""

_TEXTS = ("question", "answer_a", "answer_b", "reply_a_first", "reply_b_first")


@dataclass(frozen=True)
class JudgedItems:
    """Rows of the table of verdicts, and how many it has.

    `example` of a row says whether it is one of the wins and losses that come first, `group` is its category or skill, and `cut`
    whether one of its texts is longer than shown here.
    """

    rows: list[dict[str, Any]]
    total: int


NO_ITEMS = JudgedItems([], 0)


def judged_items(folder: Path, *, most: int = MOST_ITEMS, characters: int = MOST_CHARACTERS) -> JudgedItems:
    """Return rows of a run's table of verdicts: the clearest wins and losses of each category first, then further ones of each.

    Rows come in the order of models, test sets, judges and groups, and inside a group by verdict. No rows where there is no table.
    """
    file = folder / VERDICTS
    if not file.is_file():
        return NO_ITEMS
    with viewing({"verdicts": file}) as engine:
        total = int(engine.facts("SELECT COUNT(*) AS items FROM verdicts", "judged items")[0]["items"])
        rows = engine.facts(_select(most, characters), "judged items")
    return JudgedItems(rows, total)


def _select(most: int, characters: int) -> str:
    """SQL: the rank of each item among those of its group with its verdict, the clearest first; then the first of all groups.

    A verdict is the clearer the further its scores are apart.
    """
    cut = ", ".join(f"LEFT({quote.name(each)}, {MOST_TEXT}) AS {quote.name(each)}" for each in _TEXTS)
    length = " + ".join(f"COALESCE(LENGTH({quote.name(each)}), 0)" for each in _TEXTS)
    longest = f"GREATEST({', '.join(f'COALESCE(LENGTH({quote.name(each)}), 0)' for each in _TEXTS)}) > {MOST_TEXT}"
    apart = "ABS(COALESCE(score_a_first_1 - score_a_first_2, 0) + COALESCE(score_b_first_2 - score_b_first_1, 0))"
    place = 'a, b, test_set, judge, "group"'
    return f"""
WITH grouped AS (SELECT * REPLACE ({cut}), COALESCE(category, skill) AS "group", {apart} AS apart, {longest} AS cut FROM verdicts),
ranked AS (SELECT *, ROW_NUMBER() OVER (PARTITION BY {place}, verdict ORDER BY apart DESC, id) AS rank FROM grouped),
tiered AS (SELECT *, COALESCE(verdict IN ('win', 'lose') AND rank <= {EXAMPLES}, FALSE) AS example, {length} AS length FROM ranked),
counted AS (
  SELECT *, ROW_NUMBER() OVER chosen AS place, SUM(length) OVER chosen AS characters FROM tiered
  WINDOW chosen AS (
    ORDER BY example DESC, COALESCE(verdict = 'tie', FALSE), rank, {place}, verdict, id ROWS UNBOUNDED PRECEDING
  )
)
SELECT * EXCLUDE (apart, length, place, characters, rank) FROM counted
WHERE place <= {most} AND (characters <= {characters} OR place = 1)
ORDER BY {place}, CASE verdict WHEN 'win' THEN 0 WHEN 'lose' THEN 1 WHEN 'tie' THEN 2 ELSE 3 END, rank
"""
