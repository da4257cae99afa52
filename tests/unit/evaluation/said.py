"""What judges said, for tests of figures: votes from letters, and random judges."""

from __future__ import annotations

import random

from alpaqual.evaluation.values import NOT_ASKED, Judgement
from alpaqual.values import Vote

WINNERS = {"1": "first", "2": "second", "=": "tie"}
VERDICT_VOTES = {"win": ("1", "2"), "tie": ("=", "="), "lose": ("2", "1")}


def vote(letter: str, scores: tuple[float, ...] = (), reason: str = "no number") -> Vote:
    """1: the first answer, 2: the second, =: a tie, ?: unreadable, -: not asked."""
    if letter == "-":
        return NOT_ASKED
    return Vote(WINNERS[letter], scores) if letter in WINNERS else Vote(None, reason=reason)  # type: ignore[arg-type]


def judgement(first: str, second: str = "-", number: int = 0, pair: str = "ab", **others: object) -> Judgement:
    """Votes of the order a, b and of the order b, a."""
    settings = {"test_set": "vicuna", "id": str(number), "judge": "judge", **others}
    return Judgement(pair[0], pair[1], a_first=vote(first), b_first=vote(second), **settings)  # type: ignore[arg-type]


def verdicts(win: int, tie: int, lose: int, **others: object) -> list[Judgement]:
    """Judgements with these verdicts, the same in both orders."""
    names = ["win"] * win + ["tie"] * tie + ["lose"] * lose
    return [judgement(*VERDICT_VOTES[name], number=number, **others) for number, name in enumerate(names)]  # type: ignore[arg-type]


def random_judge(seed: int, items: int) -> list[Judgement]:
    """A judge that votes at random in either order."""
    draw = random.Random(seed)
    return [judgement(draw.choice("12="), draw.choice("12="), number) for number in range(items)]
