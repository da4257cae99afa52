"""What the processes of a project are asking right now: a locked byte for each key, in a file that stays empty.

The system drops the locks of a process that ends, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

_DIGITS = 15
"""Hexadecimal digits of a key that make an offset: 60 bits, which every file system can lock at."""


class Claims:
    """The claims of this process in a file that all share. Where the file system has no locks nobody is kept out."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def take(self, key: str) -> bool:
        """Claim a key; False where another process has it.

        Raises OSError where the file cannot be made.
        """
        if self._descriptor is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(key))
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True

    def drop(self, key: str) -> None:
        """Give a key back."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _offset(key))


def _offset(key: str) -> int:
    return int(key[:_DIGITS], 16)
