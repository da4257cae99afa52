"""Requests that a model refused for good: a folder beside the ledger's files, in JSON Lines, keyed as the ledger is.

{"key": "…", "model": "openai/gpt-4o-mini", "address": null, "reason": "refused by the server (400)", "detail": "…"}

The ledger's own files hold replies only, so that versions without this folder read them as before, and ask again. An entry
holds for one address: another server may have a longer context. Another text or another setting has another key.
"""

from __future__ import annotations

from pathlib import Path

from alpaqual.errors import Fault, FaultKind
from alpaqual.store.entry_files import EntryFile, read_entries

REFUSED = "refused"
"""The folder's name beside the files of the ledger."""


class RefusedFile:
    """The refused requests of one address (None: the provider's own), from every file of a folder; new ones go to its own.

    A line that cannot be read is passed over: it costs one request.
    """

    def __init__(self, folder: Path, address: str | None) -> None:
        self.folder = folder
        self.address = address
        self.faults: dict[str, tuple[str, str]] = {}
        self._file = EntryFile(folder)
        for entry in read_entries(folder):
            try:
                key, reason, detail = (str(entry[name]) for name in ("key", "reason", "detail"))
                if entry["address"] == address:
                    self.faults.setdefault(key, (reason, detail))
            except (KeyError, TypeError):
                continue

    def get(self, key: str) -> Fault | None:
        """The fault of a refused request; None for others."""
        found = self.faults.get(key)
        return None if found is None else Fault(FaultKind.REQUEST, *found)

    def add(self, key: str, model: str, fault: Fault) -> None:
        """Append a refused request, in one write. Raises StoreError where it cannot be written."""
        if key in self.faults:
            return
        self.faults[key] = (fault.reason, fault.detail)
        entry = {
            "key": key,
            "model": model,
            "address": self.address,
            "reason": fault.reason,
            "detail": fault.detail,
        }
        self._file.append(entry)
