"""Locks of a folder of replies. The operating system releases them when their process ends, also when it is killed.

Listing, reading and adding files needs a shared lock of the folder; removing files needs an exclusive one. A process holds an
exclusive lock of the file that it writes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alpaqual.errors import StoreError


@contextmanager
def shared_lock(folder: Path) -> Iterator[None]:
    """Hold a shared lock of a folder, so that no process removes files; without the folder, or without locks, hold none."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(_locked(folder, fcntl.LOCK_SH))
        yield


@contextmanager
def exclusive_lock(folder: Path) -> Iterator[None]:
    """Hold the exclusive lock of a folder, so that no other process lists it or adds files. Waits for it.

    Raises StoreError where the file system has no locks.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(folder, fcntl.LOCK_EX))
        except OSError as error:
            raise _no_locks(folder, error) from None
        yield


@contextmanager
def waiting_lock(folder: Path) -> Iterator[None]:
    """Hold the exclusive lock of a folder, and wait for it. On a file system without locks, no process is excluded."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(_locked(folder, fcntl.LOCK_EX))
        yield


@contextmanager
def single_process(folder: Path) -> Iterator[None]:
    """Hold the exclusive lock of a folder, which is created where it is missing; do not wait for it.

    Raises StoreError where another process holds it. On a file system without locks, no process is excluded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another process is waiting for the batches in {folder}; rerun after it has ended"
            raise StoreError(message) from None
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def mark_written(descriptor: int) -> bool:
    """Lock an open file as written by this process, until it is closed.

    False where it was deleted before it was locked: writes to it would be lost.
    """
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.fstat(descriptor).st_nlink > 0


def is_being_written(file: Path) -> bool:
    """Whether a process writes a file; False on a file system without locks."""
    with contextlib.suppress(StoreError), lock_unwritten(file) as size:
        return size is None
    return False


@contextmanager
def lock_unwritten(file: Path) -> Iterator[int | None]:
    """Lock a file that no process writes, and give its size in bytes; None where a process writes it.

    Raises StoreError where the file system has no locks, or the file cannot be read.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"the replies {file} cannot be read: {error.strerror}") from None
    try:
        yield os.fstat(descriptor).st_size if _is_free(descriptor, file) else None
    finally:
        os.close(descriptor)


def _is_free(descriptor: int, file: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _no_locks(file.parent, error) from None
    return True


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def _no_locks(folder: Path, error: OSError) -> StoreError:
    return StoreError(
        f"{folder} cannot be locked ({error.strerror}), so a run that writes to it would go unnoticed; "
        "nothing was changed. Copy the folder to a local disk, run the command there, and copy it back"
    )
