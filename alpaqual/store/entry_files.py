"""Folders of JSON Lines to which every process appends in a file of its own, so that none waits for another."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alpaqual.errors import StoreError
from alpaqual.values import replace_surrogates


def new_file_name() -> str:
    """A name that no other process gives its file; names sort by time."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:12]}.jsonl"


class EntryFile:
    """This process's own file in a folder; folder and file are made with the first entry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: Path | None = None

    def append(self, entry: Mapping[str, Any]) -> None:
        """Append an entry, in one write. Raises StoreError where it cannot be written."""
        line = f"{replace_surrogates(json.dumps(entry, ensure_ascii=False))}\n".encode()
        try:
            if self._file is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._file = self.folder / new_file_name()
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            try:
                os.write(descriptor, line)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror}") from None


def read_entries(folder: Path) -> Iterator[Any]:
    """The value of every line of every file. A line that is not JSON is skipped. Raises StoreError."""
    for file in sorted(folder.glob("*.jsonl")):
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            raise StoreError(f"{file} cannot be read: {error.strerror}") from None
        for line in lines:
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                continue
