"""What the requests of a grader are about: rows, or their single turns; and where the grades go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from alpaqual.contracts import Engine
from alpaqual.conversation.normal_form import Conversation
from alpaqual.conversation.rendering import instruction_of, response_of, transcript
from alpaqual.conversation.turns import learned_indexes, learned_turns
from alpaqual.inference.loop import Outcome
from alpaqual.store.grades import GradeParts
from alpaqual.values import Grade, Row

_ROWS_PER_QUERY = 2_000
_ROWS = "SELECT n, id, COALESCE(instruction, ''), COALESCE(input, ''), COALESCE(response, ''), {0} FROM rows"
_ONLY_TURN = 2
"""Number of the response of three texts as a turn."""
NO_TURN = Grade(None, "no assistant turn with a weight above 0")
"""The grade of a row whose turns are graded one by one, and none of them is to be learned."""


@dataclass(frozen=True)
class Item:
    """A row, or one of the `turns` of a row that are graded one by one: the one with the number `turn`, from 1.

    `n` is the row's number in the table `rows`, 0 for a row that is not in it. `turn` is 0 for a row as a whole.
    """

    n: int
    row: Row
    turn: int = 0
    turns: int = 1

    @property
    def id(self) -> str:
        """The row's id, and the number of the turn."""
        return f"{self.row.id} turn {self.turn}" if self.turn else self.row.id


def stream(
    engine: Engine, condition: str, *, turns: bool = False, skipped: Callable[[Item], None] | None = None
) -> Iterator[Item]:
    """The rows that meet a condition (SQL), or each of their turns to grade; a few thousand rows are in memory.

    `skipped` is called with each row that has no turn to grade.
    """
    messages = "messages" if "turns" in engine.columns("rows") else "NULL"
    for batch in engine.rows(f"{_ROWS.format(messages)} WHERE {condition}", _ROWS_PER_QUERY):
        for n, *texts, found in batch:
            conversation = None if found is None else Conversation(json.loads(found))
            row = Row(*texts)
            if not turns:
                yield Item(n, row if conversation is None else replace(row, conversation=transcript(conversation)))
            elif conversation is None:
                yield Item(n, row, _ONLY_TURN)
            else:
                items = list(_turns(n, row.id, conversation))
                yield from items
                if not items and skipped is not None:
                    skipped(Item(n, row))


def count_items(engine: Engine, condition: str, *, turns: bool = False) -> int:
    """How many items `stream` yields."""
    if not turns or "turns" not in engine.columns("rows"):
        return int(engine.facts(f"SELECT COUNT(*) AS rows FROM rows WHERE {condition}", "counting")[0]["rows"])
    batches = engine.rows(f"SELECT messages FROM rows WHERE {condition}", _ROWS_PER_QUERY)
    found = (messages for batch in batches for (messages,) in batch)
    return sum(1 if each is None else len(learned_indexes(json.loads(each))) for each in found)


def _turns(n: int, row_id: str, conversation: Conversation) -> Iterator[Item]:
    """Each turn to grade as a row: the turns before it are its instruction."""
    learned = list(learned_turns(conversation))
    for number, part in learned:
        row = Row(row_id, instruction_of(part), "", response_of(part), transcript(part))
        yield Item(n, row, number, len(learned))


class GradeSink:
    """Writes the grades of rows into `parts`, and counts scores and reasons."""

    def __init__(self, parts: GradeParts) -> None:
        self.parts = parts
        self.scores: Counter[float] = Counter()
        self.reasons: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.parts)

    def add(self, item: Item, outcome: Outcome[Grade]) -> None:
        """Add the grade of one item."""
        grade = grade_of(outcome)
        if grade.score is not None:
            self.scores[grade.score] += 1
        else:
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

    def __init__(self, parts: GradeParts, turns: GradeParts, combine: str) -> None:
        super().__init__(parts)
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
    unscored = next((grade for grade in grades if grade.score is None), None)
    if unscored is not None:
        return replace(unscored, retry=any(grade.retry for grade in grades))
    scores = [grade.score for grade in grades if grade.score is not None]
    if how == "mean":
        return Grade(round(sum(scores) / len(scores), 9))
    return grades[scores.index(min(scores))]


def grade_of(outcome: Outcome[Grade]) -> Grade:
    """The grade of an outcome; without a reply, the fault's reason."""
    if outcome.result is None:
        return Grade(None, outcome.fault.reason if outcome.fault else None, retry=outcome.retry)
    return replace(outcome.result, retry=outcome.retry)
