"""How many files and rows the property tests of reading compared with what was written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any


class Written:
    """Counts files, their rows, and the rows among them that belong in quarantine, by format."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.rows: Counter[str] = Counter()
        self.faulty: Counter[str] = Counter()

    def add(self, kind: str, rows: Sequence[Any]) -> None:
        """Count a file that was read as it was written; None is a row that belongs in quarantine."""
        self.files[kind] += 1
        self.rows[kind] += len(rows)
        self.faulty[kind] += sum(row is None for row in rows)

    def lines(self) -> list[str]:
        """One line a format, and one of all."""
        counted = [(kind, self.files[kind], self.rows[kind], self.faulty[kind]) for kind in sorted(self.files)]
        if counted:
            counted.append(("all", self.files.total(), self.rows.total(), self.faulty.total()))
        return [
            f"{kind}: {files:,} files, {rows:,} rows, {faulty:,} in quarantine" for kind, files, rows, faulty in counted
        ]


WRITTEN = Written()
