"""Whether a judge prefers the longer answer, apart from whether it prefers the model that gives more of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from alpaqual.evaluation.statistics import two_sided
from alpaqual.evaluation.values import Judgement, Outcome

FEWEST_LONGER = 5
"""A pair where either model gives fewer of the longer answers than this cannot separate length and model."""


@dataclass(frozen=True, slots=True)
class LengthTable:
    """Decided verdicts of one pair: won and lost by `a` where its answer is the longer one, and where it is the shorter one."""

    longer_won: int = 0
    longer_lost: int = 0
    shorter_won: int = 0
    shorter_lost: int = 0

    @property
    def longer(self) -> int:
        """Items whose longer answer is that of `a`."""
        return self.longer_won + self.longer_lost

    @property
    def shorter(self) -> int:
        """Items whose shorter answer is that of `a`."""
        return self.shorter_won + self.shorter_lost

    @property
    def is_separable(self) -> bool:
        """Whether both models give longer answers often enough to tell length and model apart."""
        return min(self.longer, self.shorter) >= FEWEST_LONGER


@dataclass(frozen=True, slots=True)
class LengthPreference:
    """Decided verdicts that the longer and the shorter answer won.

    `balanced` is the share of the longer answer with each model giving it equally often, None where no pair can separate length and
    model. `p_value` is that of Mantel and Haenszel's test of length and verdict within each pair; without `balanced`, of the sign test.
    """

    longer: int = 0
    shorter: int = 0
    balanced: float | None = None
    p_value: float = 1.0


def length_tables(judged: Iterable[tuple[Judgement, Outcome]]) -> list[LengthTable]:
    """Return the table of each pair, lengths in characters; ties, and answers of one length or without text, are left out."""
    cells: Counter[tuple[str, str, bool, Outcome]] = Counter()
    for judgement, outcome in judged:
        difference = len(judgement.text_a) - len(judgement.text_b)
        if outcome != "tie" and difference and judgement.text_a and judgement.text_b:
            cells[judgement.a, judgement.b, difference > 0, outcome] += 1
    pairs = dict.fromkeys((a, b) for a, b, _, _ in cells)
    return [
        LengthTable(
            longer_won=cells[a, b, True, "win"],
            longer_lost=cells[a, b, True, "lose"],
            shorter_won=cells[a, b, False, "win"],
            shorter_lost=cells[a, b, False, "lose"],
        )
        for a, b in pairs
    ]


def length_preference(tables: Iterable[LengthTable]) -> LengthPreference:
    """Return how often the longer answer wins, over all pairs of a judge."""
    every = list(tables)
    longer = sum(each.longer_won + each.shorter_lost for each in every)
    shorter = sum(each.longer_lost + each.shorter_won for each in every)
    separable = [each for each in every if each.is_separable]
    if not separable:
        return LengthPreference(longer, shorter, None, two_sided(longer, shorter))
    items = sum(each.longer + each.shorter for each in separable)
    balanced = sum(
        (each.longer_won / each.longer + each.shorter_lost / each.shorter) / 2 * (each.longer + each.shorter)
        for each in separable
    )
    return LengthPreference(longer, shorter, balanced / items, _mantel_haenszel(separable))


def _mantel_haenszel(tables: Iterable[LengthTable]) -> float:
    """The two-sided p-value, without a correction for continuity; 1 where all verdicts of each pair are the same."""
    error = variance = 0.0
    for each in tables:
        items, won = each.longer + each.shorter, each.longer_won + each.shorter_won
        error += each.longer_won - each.longer * won / items
        variance += each.longer * each.shorter * won * (items - won) / (items**2 * (items - 1))
    return math.erfc(abs(error) / math.sqrt(2 * variance)) if variance else 1.0
