"""Requests that a model refused for good: a folder beside the ledger's files, in JSON Lines, keyed as the ledger is.

{"key": "…", "model": "openai/gpt-4o-mini", "address": null, "reason": "refused by the server (400)", "detail": "…"}

The ledger's own files hold replies only, so that versions without this folder read them as before, and ask again. An entry
holds for one address: another server may have a longer context. Another text or another setting has another key.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path

from alpaqual.errors import Fault, FaultKind, StoreError
from alpaqual.values import replace_surrogates

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
        self._file: Path | None = None
        for file in sorted(folder.glob("*.jsonl")):
            self._read(file)

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
        line = f"{replace_surrogates(json.dumps(entry, ensure_ascii=False))}\n".encode()
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

    def _read(self, file: Path) -> None:
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            raise StoreError(f"{file} cannot be read: {error.strerror}") from None
        for line in lines:
            try:
                entry = json.loads(line)
                key, reason, detail = (str(entry[name]) for name in ("key", "reason", "detail"))
                if entry["address"] == self.address:
                    self.faults.setdefault(key, (reason, detail))
            except (ValueError, KeyError, TypeError, RecursionError):
                continue
