"""The rows of a dataset file, and which of them are trained on. The exports and alpaqual's own job share this rule."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from alpaqual.job import Job
from alpaqual.trainers._chat import Row, RowError, is_conversation, name_of

TRAINING_ROWS = "training_rows.jsonl"
"""In the folder of an export: the rows of the dataset that are trained on."""
HELD_OUT_ROWS = "held_out_rows.jsonl"
"""The same for held-out rows that the run folder shows in no file of their own."""


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a JSON Lines file: id, instruction, input, output; of a conversation id, messages, tools."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def is_trained_on(row: Row, held_out_ids: frozenset[str]) -> bool:
    """Whether a row is trained on: its id is not that of a held-out row."""
    return name_of(row) not in held_out_ids


def ids_of(rows: Iterable[Row]) -> frozenset[str]:
    """The ids of rows."""
    return frozenset(map(name_of, rows))


_LEARNED = ("instruction", "input", "output", "messages", "tools")


def has_more(data: Path) -> bool:
    """Whether rows have more than their id and what is learned: the data's own ids and columns. All rows have the same."""
    return any(not row.keys() <= {"id", *_LEARNED} for row in itertools.islice(read_rows(data), 1))


def write_training_rows(data: Path, held_out: Path | None, target: Path) -> tuple[int, str]:
    """Copy the rows of `data` that are trained on to `target`. Returns their number and sha256.

    Lines are copied byte for byte, but without the data's own ids and columns: these may be of several types, which readers of
    whole columns refuse, or have a name that a trainer takes for its own, such as `system`.
    """
    held_out_ids = frozenset() if held_out is None else ids_of(read_rows(held_out))
    rows, digest, more = 0, hashlib.sha256(), has_more(data)
    with data.open("rb") as lines, target.open("wb") as copy:
        for line in lines:
            row = json.loads(line)
            if not is_trained_on(row, held_out_ids):
                continue
            if more:
                bare = {"id": name_of(row), **{key: row[key] for key in _LEARNED if key in row}}
                line = json.dumps(bare, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            copy.write(line)
            digest.update(line)
            rows += 1
    return rows, digest.hexdigest()


def as_triple(row: Row) -> Row:
    """A row as instruction, input and output, where it is a question and its answer.

    Raises RowError for any other conversation.
    """
    if not is_conversation(row):
        return row
    turns = row["messages"]
    plain = all(turn.keys() <= {"role", "content", "weight"} and isinstance(turn["content"], str) for turn in turns)
    if [turn["role"] for turn in turns] != ["user", "assistant"] or not plain or row.get("tools"):
        raise RowError(
            f"row {name_of(row)} is a conversation with more than a question and its answer, which the Alpaca prompt cannot "
            "render; set training.prompt: chat"
        )
    if not turns[1].get("weight", 1):
        raise RowError(
            f"row {name_of(row)}: its only answer has weight 0; leave the row out, or set training.prompt: chat"
        )
    return {"id": name_of(row), "instruction": turns[0]["content"], "input": "", "output": turns[1]["content"]}


def refuse_conversations(job: Job, path: Path, *, exported: bool) -> None:
    """Check that the job's prompt can render each row of a dataset file.

    Raises RowError for a conversation that the Alpaca prompt cannot render; in an export it renders none.
    """
    if job.text.prompt != "alpaca":
        return
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if '"messages"' in line and is_conversation(row := json.loads(line)):
                as_triple(row)
                if exported:
                    raise RowError(
                        f"row {name_of(row)} is a conversation, which exports write for training.prompt: chat only; set it"
                    )
