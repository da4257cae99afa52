"""Money for requests without a reply: a folder beside the ledger's files, in JSON Lines.

{"account": "…", "grader": "accuracy", "usd": 0.0012, "reason": "timeout"}

A provider bills a reply that never arrived, that could not be read, or that its filter stopped. Budgets count it in later runs too.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from alpaqual.errors import StoreError

LOST = "lost"
"""The folder's name beside the files of the ledger."""
KILLED = "the process ended before the reply"
"""Reason of what a killed process had in flight."""
_MAX_PLAUSIBLE = 1e15


class LostFile:
    """The entries of one account, from every file of a folder; new ones go to its own. A line that cannot be read is passed over."""

    def __init__(self, folder: Path, account: str, grader: str) -> None:
        """`account` says which requests share a budget, `grader` is the name for people."""
        self.folder = folder
        self.account = account
        self.grader = grader
        self.usd = 0.0
        """The sum of all entries when this was last read, and of new ones."""
        self._file: Path | None = None
        self.read()

    def read(self) -> None:
        """Sum up the entries of every file, those of other processes too. Raises StoreError."""
        self.usd = sum(usd for account, usd in lost_entries(self.folder) if account == self.account)

    def add(self, usd: float, reason: str) -> None:
        """Append an entry, in one write. Raises StoreError where it cannot be written."""
        entry = {"account": self.account, "grader": self.grader, "usd": round(usd, 10), "reason": reason}
        line = f"{json.dumps(entry, ensure_ascii=False)}\n".encode("utf-8", "replace")
        try:
            if self._file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:12]}.jsonl"
                self._file = self.folder / name
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror}") from None
        self.usd += usd


def lost_entries(folder: Path) -> Iterator[tuple[str, float]]:
    """(account, US dollars) of every entry of a folder. A line that cannot be read is passed over. Raises StoreError."""
    for file in sorted(folder.glob("*.jsonl")):
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            raise StoreError(f"{file} cannot be read: {error.strerror}") from None
        for line in lines:
            try:
                entry = json.loads(line)
                account, usd = str(entry["account"]), float(entry["usd"])
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
            if 0 < usd < _MAX_PLAUSIBLE:
                yield account, usd
