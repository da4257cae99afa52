"""Executes `loading`: the engine reads each source; rows that cannot be read go into quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from alpaqual.compression import verify_compressed_file
from alpaqual.errors import QueryError, RecipeError
from alpaqual.execution.conversations import fill_turns
from alpaqual.execution.stored import StoredHandler
from alpaqual.execution.unreadable import texts_of
from alpaqual.plan.loading import NO_PLACES, NOTHING_UNREADABLE, LoadStage
from alpaqual.plan.tables import PLACES, UNREADABLE
from alpaqual.sources import open_source
from alpaqual.values import Scan

_BATCH = 10_000


class Handler(StoredHandler[LoadStage]):
    """Makes the scanned tables before the statements, and drops them afterwards."""

    @contextmanager
    def prepare(self, folder: Path) -> Iterator[dict[str, Any]]:
        """Load every source; the rows that its reader refuses are in the table of unreadable rows."""
        engine, stage = self.execution.engine, self.stage
        engine.create(UNREADABLE.name, NOTHING_UNREADABLE, stage.name)
        engine.create(PLACES.name, NO_PLACES, stage.name)
        try:
            for index, (scan, refused) in enumerate(zip(stage.scans, stage.refused, strict=True)):
                unreadable = self.load(index, scan)
                texts = dict(_texts(scan, {position for position, _ in unreadable}))
                engine.insert(
                    UNREADABLE.name,
                    [(scan.source, position, reason, texts.get(position, "")) for position, reason in unreadable],
                    f"{stage.name}: {scan.source}",
                )
                if (talk := stage.conversations[index]) is not None:
                    fill_turns(engine, talk, f"{stage.name}: {scan.source}")
                positions = {row[0] for batch in engine.rows(refused, _BATCH) for row in batch} if refused else set()
                placed = [(scan.source, position, place) for position, place in _places(scan, positions)]
                engine.insert(PLACES.name, placed, f"{stage.name}: {scan.source}")
            yield {}
        finally:
            talks = (talk.table.name for talk in stage.conversations if talk is not None)
            for table in (UNREADABLE.name, PLACES.name, *(scan.table for scan in stage.scans), *talks):
                engine.drop(table)

    def load(self, index: int, scan: Scan) -> list[tuple[int, str]]:
        """Make the table of one source; (position, reason) of each row that cannot be read.

        Raises RecipeError where a file as a whole cannot be read.
        """
        source = open_source(scan.format, scan.options)
        try:
            for file in scan.files:
                if file.compressed and scan.cells != "typed":
                    verify_compressed_file(file.path)
            return list(self.execution.engine.load(scan, source.rows))
        except ValueError as error:
            recipe = self.execution.plan.recipe
            raise RecipeError([recipe.problem(("sources", index, "path"), str(error))]) from None

    def explain_failure(self, error: QueryError) -> NoReturn:
        """Raises RecipeError for a file that cannot be read to its end, else the error itself."""
        recipe = self.execution.plan.recipe
        for index, scan in enumerate(self.stage.scans):
            for path, reason in self.execution.engine.check_files(scan):
                message = f"{Path(path).name} is damaged and cannot be read to its end: {reason}"
                raise RecipeError([recipe.problem(("sources", index, "path"), message)]) from None
        raise error


def _places(scan: Scan, positions: set[int]) -> Iterator[tuple[int, str]]:
    """File and line of the rows at these positions: the files are read once more, up to the last of them."""
    for index, found in _places_by_file(scan, positions):
        yield from ((position, f"{Path(scan.files[index].path).name} {place}") for position, place in found)


def _texts(scan: Scan, positions: set[int]) -> Iterator[tuple[int, str]]:
    """The beginning of the text of the rows at these positions, in files of lines."""
    if scan.cells != "typed":
        for index, found in _places_by_file(scan, positions):
            yield from texts_of(scan, index, found)


def _places_by_file(scan: Scan, positions: set[int]) -> Iterator[tuple[int, list[tuple[int, str]]]]:
    """The number of each file up to the last of these positions, with (position, place) of those in it."""
    last, position = max(positions, default=0), 0
    for index in range(len(scan.files)):
        if position >= last:
            return
        found = []
        for place in _places_of(scan, index):
            position += 1
            if position in positions:
                found.append((position, place))
        yield index, found


def _places_of(scan: Scan, index: int) -> Iterator[str]:
    """The place of each row of one file of a scan."""
    if scan.cells == "typed":
        return (f"row {row}" for row in range(1, scan.file_rows[index] + 1))
    source, file = open_source(scan.format, scan.options), scan.files[index].path
    places = getattr(source, "places", None)
    if places is None:
        return (f"row {row}" for row, _ in enumerate(source.rows(file), 1))
    found: Iterator[str] = places(file)
    return found
