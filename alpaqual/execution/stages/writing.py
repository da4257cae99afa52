"""Executes `writing.<dataset>`: the files of a dataset, made of the JSON Lines that its selection left and of its sources."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from alpaqual.amounts import counted_rows
from alpaqual.errors import RecipeError, StageError
from alpaqual.execution.dataset_files import exported_file, files_of
from alpaqual.execution.dataset_lines import FORMATS, REFUSED, FormatError
from alpaqual.execution.records import fill_records
from alpaqual.execution.stored import StoredHandler
from alpaqual.plan.selecting import SelectStage
from alpaqual.plan.tables import RECORDS, splits
from alpaqual.plan.writing import WriteStage
from alpaqual.store.typed_rows import pyarrow

_BATCH = 1_000
_WHOLE = ""
"""The split of a dataset without splits."""


class Handler(StoredHandler[WriteStage]):
    """Reads the records before the statements, and writes the files after them."""

    def check(self) -> None:
        """Raise MachineError where a file of typed columns is to be written and pyarrow is missing."""
        if self.stage.file != "jsonl" and not self.exists():
            pyarrow(f"datasets.{self.stage.dataset}: file: {self.stage.file}")

    @contextmanager
    def prepare(self, folder: Path) -> Iterator[dict[str, Any]]:
        """Make the table of records, where the stage needs one."""
        stage, engine = self.stage, self.execution.engine
        try:
            if stage.records is not None:
                fill_records(engine, stage.records, stage.name)
            yield {}
        finally:
            if stage.records is not None:
                engine.drop(RECORDS.name)

    def finish(self, folder: Path) -> dict[str, Any]:
        """Write JSON Lines for each split, and the files that the recipe asks for."""
        stage = self.stage
        names = stage.splits or (_WHOLE,)
        trained = {name: folder / f"lines{index}.jsonl" for index, name in enumerate(names)}
        shown = trained
        if stage.format is not None:
            shown = {name: folder / f"rows{index}.jsonl" for index, name in enumerate(names)}
        counts = self.write_lines(trained if stage.splits or shown is trained else {}, shown)
        files = files_of(stage, folder, shown)
        used = {file.stored for file in files} | ({path.name for path in trained.values()} if stage.splits else set())
        for path in {*trained.values(), *shown.values()}:
            if path.name not in used:
                path.unlink(missing_ok=True)
        return {
            "files": [{"name": file.name, "stored": file.stored} for file in files],
            "splits": [{"split": name, "rows": counts[name], "lines": trained[name].name} for name in stage.splits],
        }

    def write_lines(self, trained: dict[str, Path], shown: dict[str, Path]) -> dict[str, int]:
        """Write the lines that training reads and those that are shown; returns the rows of each split."""
        stage = self.stage
        counts = dict.fromkeys(shown, 0)
        refused: list[str] = []
        with contextlib.ExitStack() as opened:
            trains = {name: opened.enter_context(_new(path)) for name, path in trained.items()}
            shows = trains
            if shown is not trained:
                shows = {name: opened.enter_context(_new(path)) for name, path in shown.items()}
            convert = FORMATS.get(stage.format or "")
            for split, line, record in self.lines():
                counts[split] += 1
                if split in trains:
                    trains[split].write(line)
                if shows is trains:
                    continue
                try:
                    shows[split].write(f"{record}\n" if convert is None else f"{convert(line.rstrip(chr(10)))}\n")
                except FormatError:
                    refused.append(line)
        if refused:
            raise self.refusal(len(refused), refused[0])
        return counts

    def lines(self) -> Iterator[tuple[str, str, str | None]]:
        """Split, line of the selection, and record of each row."""
        stage, engine = self.stage, self.execution.engine
        selecting = next(each for each in stage.inputs if isinstance(each, SelectStage))
        placed: Iterator[tuple[str | None, str | None]] = itertools.repeat((None, None))
        if stage.statements:
            query = f"SELECT split, NULL AS record, id FROM {splits(stage.dataset)}"
            if stage.records is not None and stage.records.whole:
                query = f"SELECT split, record, id FROM {splits(stage.dataset)} LEFT JOIN {RECORDS} USING (n)"
            query = f"SELECT split, record FROM ({query}) AS placed ORDER BY id"
            placed = (row for batch in engine.rows(query, _BATCH) for row in batch)
        with exported_file(selecting, self.execution.stored(selecting)).open(encoding="utf-8", newline="\n") as lines:
            for line, (split, record) in zip(lines, placed, strict=bool(stage.statements)):
                if record is None and stage.records is not None and stage.records.whole:
                    raise StageError(
                        f"{stage.name}: a file of the sources has changed since its rows were read; run again"
                    )
                yield split or _WHOLE, line, record

    def refusal(self, count: int, line: str) -> RecipeError:
        """The error of rows that the format cannot hold, with the beginning of one."""
        stage, recipe = self.stage, self.execution.plan.recipe
        text = f"dataset {stage.dataset}: {counted_rows(count)} {REFUSED}; the first is {line[:60].rstrip()}…"
        return RecipeError([recipe.problem(("datasets", stage.dataset, "format"), text)])


def _new(path: Path) -> IO[str]:
    return path.open("w", encoding="utf-8", newline="")
