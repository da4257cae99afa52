"""Claims of requests in flight, shared by the processes of a project: one locked byte per key, in an empty file.

The operating system releases the locks of a process that ends, also when it is killed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

_DIGITS = 15
"""Hexadecimal digits of a key in an offset: 60 bits, which every file system can lock at."""


class Claims:
    """The claims of this process in a shared file. On a file system without locks every claim succeeds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._descriptor: int | None = None

    def acquire(self, key: str) -> bool:
        """Claim a key; False where another process holds it.

        Raises OSError where the file cannot be created.
        """
        if self._descriptor is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _offset(key))
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        return True

    def release(self, key: str) -> None:
        """Release the claim of a key."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _offset(key))


def _offset(key: str) -> int:
    return int(key[:_DIGITS], 16)
