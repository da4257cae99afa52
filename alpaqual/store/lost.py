"""Money for requests without a reply: a folder beside the ledger's files, in JSON Lines.

{"account": "…", "grader": "accuracy", "usd": 0.0012, "reason": "timeout"}

A provider bills a reply that never arrived, that could not be read, or that its filter stopped. Budgets count it in later runs too.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from alpaqual.store.entry_files import EntryFile, read_entries

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
        self._file = EntryFile(folder)
        self.read()

    def read(self) -> None:
        """Sum up the entries of every file, those of other processes too. Raises StoreError."""
        self.usd = sum(usd for account, usd in lost_entries(self.folder) if account == self.account)

    def add(self, usd: float, reason: str) -> None:
        """Append an entry, in one write. Raises StoreError where it cannot be written."""
        entry = {"account": self.account, "grader": self.grader, "usd": round(usd, 10), "reason": reason}
        self._file.append(entry)
        self.usd += usd


def lost_entries(folder: Path) -> Iterator[tuple[str, float]]:
    """(account, US dollars) of every entry of a folder. A line that cannot be read is passed over. Raises StoreError."""
    for entry in read_entries(folder):
        try:
            account, usd = str(entry["account"]), float(entry["usd"])
        except (ValueError, KeyError, TypeError):
            continue
        if 0 < usd < _MAX_PLAUSIBLE:
            yield account, usd
