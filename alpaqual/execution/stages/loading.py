"""Executes `loading`: the engine reads each source; rows that cannot be read go into quarantine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from alpaqual.compression import verify_compressed_file
from alpaqual.errors import QueryError, RecipeError
from alpaqual.execution.stored import StoredHandler
from alpaqual.plan.loading import NOTHING_UNREADABLE, LoadStage
from alpaqual.plan.tables import UNREADABLE
from alpaqual.sources import open_source
from alpaqual.values import Scan


class Handler(StoredHandler[LoadStage]):
    """Makes the scanned tables before the statements, and drops them afterwards."""

    @contextmanager
    def prepare(self, folder: Path) -> Iterator[dict[str, Any]]:
        """Load every source; the rows that its reader refuses are in the table of unreadable rows."""
        engine, stage = self.execution.engine, self.stage
        engine.create(UNREADABLE.name, NOTHING_UNREADABLE, stage.name)
        try:
            for index, scan in enumerate(stage.scans):
                unreadable = self.load(index, scan)
                engine.insert(
                    UNREADABLE.name,
                    [(scan.source, position, reason, "") for position, reason in unreadable],
                    f"{stage.name}: {scan.source}",
                )
            yield {}
        finally:
            for table in (UNREADABLE.name, *(scan.table for scan in stage.scans)):
                engine.drop(table)

    def load(self, index: int, scan: Scan) -> list[tuple[int, str]]:
        """Make the table of one source; (position, reason) of each row that cannot be read.

        Raises RecipeError where a file as a whole cannot be read.
        """
        source = open_source(scan.format, scan.options)
        try:
            for file in scan.files if scan.copied else ():
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
