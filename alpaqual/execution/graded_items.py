"""What the requests of a grader are about: rows, or their single turns; and where the grades go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from alpaqual.contracts import Engine
from alpaqual.contracts import Grader as GraderPlugin
from alpaqual.conversation.normal_form import Conversation
from alpaqual.conversation.rendering import instruction_of, response_of, transcript
from alpaqual.conversation.turns import learned_indexes, learned_turns
from alpaqual.inference.loop import Outcome
from alpaqual.store.grades import GradeParts
from alpaqual.values import Grade, Request, Row

_ROWS_PER_QUERY = 2_000
_ROWS = "SELECT n, id, COALESCE(instruction, ''), COALESCE(input, ''), COALESCE(response, ''), {columns} FROM rows"
_ONLY_TURN = 2
"""Number of the response of three texts as a turn."""
NO_TURN = Grade(None, "no assistant turn with a weight above 0")
"""The grade of a row whose turns are graded one by one, and none of them is to be learned."""


@dataclass(frozen=True)
class Item:
    """A row, or one of the `turns` of a row that are graded one by one: the one with the number `turn`, from 1.

    `n` is the row's number in the table `rows`, 0 for a row that is not in it. `turn` is 0 for a row as a whole. `sample` counts
    the requests about the same text, from 0.
    """

    n: int
    row: Row
    turn: int = 0
    turns: int = 1
    sample: int = 0

    @property
    def id(self) -> str:
        """The row's id, and the numbers of the turn and the sample."""
        turn = f"{self.row.id} turn {self.turn}" if self.turn else self.row.id
        return f"{turn} sample {self.sample + 1}" if self.sample else turn


@dataclass(frozen=True)
class Reading:
    """How rows become items: as a whole or turn by turn, how often each is asked about, and what the prompt shows besides.

    `slots` has the key of each slot of the prompt that names a column or a grader, and its SQL over `rows`.
    """

    turns: bool = False
    samples: int = 1
    slots: tuple[tuple[str, str], ...] = ()

    @property
    def items(self) -> str:
        """What is graded, in words."""
        if self.samples > 1:
            return "samples"
        return "turns" if self.turns else "rows"

    def request(self, plugin: GraderPlugin, item: Item) -> Request:
        """The request about an item; samples differ in their ledger key alone, and the first has that of a single request."""
        request = plugin.request(item.row)
        return replace(request, repeat=item.sample) if item.sample else request


WHOLE_ROWS = Reading()
"""One request about each row."""


def stream(
    engine: Engine, condition: str, reading: Reading = WHOLE_ROWS, *, skipped: Callable[[Item], None] | None = None
) -> Iterator[Item]:
    """The rows that meet a condition (SQL), or each of their turns to grade; a few thousand rows are in memory.

    `skipped` is called with each row that has no turn to grade.
    """
    messages = "messages" if "turns" in engine.columns("rows") else "NULL"
    query = f"{_ROWS.format(columns=', '.join([messages, *(sql for _, sql in reading.slots)]))} WHERE {condition}"
    for batch in engine.rows(query, _ROWS_PER_QUERY):
        for n, row_id, instruction, given, response, found, *shown in batch:
            conversation = None if found is None else Conversation(json.loads(found))
            values = {key: text_of_value(value) for (key, _), value in zip(reading.slots, shown, strict=True)}
            row = Row(row_id, instruction, given, response, values=values)
            if not reading.turns:
                item = Item(n, row if conversation is None else replace(row, conversation=transcript(conversation)))
                yield from _samples(item, reading.samples)
            elif conversation is None:
                yield from _samples(Item(n, row, _ONLY_TURN), reading.samples)
            else:
                items = list(_turns(n, row, conversation))
                for each in items:
                    yield from _samples(each, reading.samples)
                if not items and skipped is not None:
                    skipped(Item(n, row))


def text_of_value(value: object) -> str:
    """A value of a column as a prompt shows it: numbers as scores are written, a null as nothing."""
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _samples(item: Item, samples: int) -> Iterator[Item]:
    yield item
    for sample in range(1, samples):
        yield replace(item, sample=sample)


def count_items(engine: Engine, condition: str, reading: Reading = WHOLE_ROWS) -> int:
    """How many items `stream` yields."""
    if not reading.turns or "turns" not in engine.columns("rows"):
        counted = engine.facts(f"SELECT COUNT(*) AS rows FROM rows WHERE {condition}", "counting")[0]["rows"]
        return int(counted) * reading.samples
    batches = engine.rows(f"SELECT messages FROM rows WHERE {condition}", _ROWS_PER_QUERY)
    found = (messages for batch in batches for (messages,) in batch)
    return reading.samples * sum(1 if each is None else len(learned_indexes(json.loads(each))) for each in found)


def _turns(n: int, whole: Row, conversation: Conversation) -> Iterator[Item]:
    """Each turn to grade as a row: the turns before it are its instruction."""
    learned = list(learned_turns(conversation))
    for number, part in learned:
        row = Row(whole.id, instruction_of(part), "", response_of(part), transcript(part), whole.values)
        yield Item(n, row, number, len(learned))


class GradeSink:
    """Writes the grades of rows into `parts`, and counts scores and reasons."""

    def __init__(self, parts: GradeParts, samples: int = 1) -> None:
        self.parts = parts
        self.samples = samples
        self.scores: list[Counter[float]] = [Counter() for _ in parts.scores]
        """For each score that a reply gives."""
        self.reasons: Counter[str] = Counter()
        self.sampled: dict[tuple[int, int], dict[int, Grade]] = {}
        """By row and turn: the grades of the samples so far."""

    def __len__(self) -> int:
        return len(self.parts)

    def add(self, item: Item, outcome: Outcome[Grade]) -> None:
        """Add the grade of one item; where it is one of several samples, they are counted and kept once all are there."""
        grade = grade_of(outcome)
        if self.samples > 1:
            found = self.sampled.setdefault((item.n, item.turn), {})
            found[item.sample] = grade
            if len(found) < self.samples:
                return
            del self.sampled[item.n, item.turn]
            grade = mean_of_samples([found[sample] for sample in range(self.samples)])
        for counter, score in zip(self.scores, grade.values, strict=False):
            counter[score] += 1
        if not grade.values:
            self.reasons[str(grade.reason)] += 1
        self.keep(item, grade)

    def keep(self, item: Item, grade: Grade) -> None:
        """Keep a grade that is counted."""
        self.parts.add(item.n, item.row.id, grade)

    def skip(self, item: Item) -> None:
        """Add the grade of a row without a turn to grade."""
        self.parts.add(item.n, item.row.id, NO_TURN)

    def write(self) -> None:
        """Write the grades that were added since."""
        self.parts.write()


class TurnSink(GradeSink):
    """Writes the grades of turns into `turns` and, once all of a row are there, the row's grade into `parts`.

    Scores and reasons count turns. The turns of rows that are not complete are in memory.
    """

    def __init__(self, parts: GradeParts, turns: GradeParts, combine: str, samples: int = 1) -> None:
        super().__init__(parts, samples)
        self.turns = turns
        self.combine = combine
        self.waiting: dict[int, list[tuple[int, Grade]]] = {}

    def __len__(self) -> int:
        return max(len(self.parts), len(self.turns))

    def keep(self, item: Item, grade: Grade) -> None:
        """Keep the grade of one turn."""
        self.turns.add(item.n, item.row.id, grade, item.turn)
        found = self.waiting.setdefault(item.n, [])
        found.append((item.turn, grade))
        if len(found) == item.turns:
            del self.waiting[item.n]
            in_order = [each for _, each in sorted(found, key=lambda pair: pair[0])]
            self.parts.add(item.n, item.row.id, combined(in_order, self.combine))

    def write(self) -> None:
        """Write the grades that were added since."""
        self.turns.write()
        self.parts.write()


def combined(grades: Sequence[Grade], how: str) -> Grade:
    """The grade of a row, from those of its turns in their order: the lowest, the mean, or the last.

    A turn without a score leaves the row without one, for the same reason; of the last, only the last turn counts.
    """
    if how == "last":
        return grades[-1]
    unscored = next((grade for grade in grades if not grade.values), None)
    if unscored is not None:
        return replace(unscored, retry=any(grade.retry for grade in grades))
    values = list(zip(*(grade.values for grade in grades), strict=True))
    spreads = tuple(max(each) for each in zip(*(grade.spreads for grade in grades), strict=True))
    if how == "mean":
        return _graded(grades[0], [_mean(each) for each in values], None, spreads)
    lowest = [min(each) for each in values]
    return _graded(grades[0], lowest, grades[values[0].index(lowest[0])].reply, spreads)


def mean_of_samples(grades: Sequence[Grade]) -> Grade:
    """The grade of a row or turn, from those of its samples: the mean of each score, its spread, and the first reply.

    A sample without a score leaves the row without one, for the same reason.
    """
    unscored = next((grade for grade in grades if not grade.values), None)
    if unscored is not None:
        return replace(unscored, retry=any(grade.retry for grade in grades))
    values = list(zip(*(grade.values for grade in grades), strict=True))
    spreads = tuple(round(max(each) - min(each), 9) for each in values)
    return _graded(grades[0], [_mean(each) for each in values], grades[0].reply, spreads)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 9)


def _graded(like: Grade, values: Sequence[float], reply: str | None, spreads: tuple[float, ...]) -> Grade:
    """A grade with one score or several, as the grade `like` has."""
    if like.scores:
        return Grade(None, None, reply, scores=tuple(values), spreads=spreads)
    return Grade(values[0], None, reply, spreads=spreads)


def grade_of(outcome: Outcome[Grade]) -> Grade:
    """The grade of an outcome; without a reply, the fault's reason."""
    if outcome.result is None:
        return Grade(None, outcome.fault.reason if outcome.fault else None, retry=outcome.retry)
    return replace(outcome.result, retry=outcome.retry)
