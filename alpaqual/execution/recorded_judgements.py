"""Reads a file of recorded replies of judges."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from alpaqual.compression import damage, open_bytes
from alpaqual.errors import Problem, RecipeError
from alpaqual.evaluation.recorded import PAIRS, RATINGS, ReadReply, Recorded, read_recorded
from alpaqual.evaluation.values import NOT_ASKED, Judgement
from alpaqual.judges._spec import JudgeSpec
from alpaqual.recipe.evaluation import Evaluation
from alpaqual.recipe.recipe import Recipe
from alpaqual.registry import find

_FEWEST = 10
_NEARLY_ALL = 0.9
"""A model that is first in this share of the items of a pair, ten or more, has its position in nearly each verdict."""
_SHOWN = 10
"""Numbers of lines in a warning at most."""


def readers(prompt: str | None = None) -> Mapping[str, ReadReply]:
    """What reads a reply, by kind of judge: the kinds whose replies differ in form, and the one that a recipe names."""
    kinds = (*PAIRS, *RATINGS) if prompt is None else (prompt,)
    return {kind: find("judges", kind)(JudgeSpec(), "").read for kind in kinds}


def read_recorded_file(recipe: Recipe, evaluation: Evaluation) -> Recorded:
    """What the file of recorded replies of an evaluation says. Raises RecipeError, with the line of each problem."""
    given = evaluation.replies or ""
    lines = read_lines(recipe.folder / given, given)
    return read_recorded(
        lines,
        readers(evaluation.prompt),
        file=given,
        prompt=evaluation.prompt,
        pairs=evaluation.pairs,
        one_order=evaluation.orders == "one",
    )


def notes_on(found: Recorded, evaluation: Evaluation) -> list[str]:
    """What a file of recorded replies is warned of: lines that count once, and a log of one order."""
    notes = []
    if found.repeated:
        lines = ", ".join(map(str, found.repeated[:_SHOWN])) + (", …" if len(found.repeated) > _SHOWN else "")
        notes.append(f"{evaluation.replies}: lines that repeat an earlier one count once: {lines}")
    asked = [each for each in found.judgements if not each.single]
    if asked and evaluation.orders == "both" and all(NOT_ASKED in (each.a_first, each.b_first) for each in asked):
        notes.append(
            f"{evaluation.replies}: no item has replies in both orders, so none has a verdict: for a log of one order, say `orders: one`"
        )
    return notes + [f"{evaluation.replies}: {each}" for each in _one_sided(found.judgements)]


def _one_sided(judgements: Sequence[Judgement]) -> Iterator[str]:
    """A sentence for each pair of which one model is nearly always first, and no item has the other order."""
    orders: dict[tuple[str, str, str], Counter[str]] = {}
    for each in judgements:
        if each.one_order:
            first = each.b if each.a_first == NOT_ASKED else each.a
            orders.setdefault((each.judge, each.a, each.b), Counter())[first] += 1
    for (judge, a, b), count in orders.items():
        ((first, most),) = count.most_common(1)
        if most >= _FEWEST and most >= _NEARLY_ALL * count.total():
            yield (
                f"{first} is first in {most:,} of {count.total():,} items of {a} against {b} that judge '{judge}' saw in one order: a better "
                "answer and a preferred position cannot be separated"
            )


def read_lines(path: Path, shown: str) -> Iterator[str]:
    """The lines of a text file in UTF-8, compressed or not.

    Raises RecipeError where it cannot be read, with the line that is not UTF-8.
    """
    number = 0
    try:
        with open_bytes(str(path)) as stream:
            for number, line in enumerate(stream, 1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError([Problem(shown, number, 1, f"not UTF-8: {error.reason}")]) from error
    except (FileNotFoundError, IsADirectoryError) as error:
        raise RecipeError([Problem(shown, 0, 0, f"there is no such file: {path}")]) from error
    except _unreadable() as error:
        raise RecipeError([Problem(shown, 0, 0, f"the file cannot be read: {error}")]) from error


def _unreadable() -> tuple[type[Exception], ...]:
    """What reading a file raises that is damaged, or no archive of one file."""
    return (*damage(), ValueError)
