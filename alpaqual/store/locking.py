"""Who may do what with a folder of replies, held by locks that the system drops when their process ends, however it ends.

Whoever lists, reads or adds files shares the folder; whoever takes files away has it alone. A file is locked by the process
that writes it for as long as it may write more.
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
def sharing(folder: Path) -> Iterator[None]:
    """While this lasts nobody takes files out of the folder; goes on without where there is no folder or no lock to have."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(_locked(folder, fcntl.LOCK_SH))
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While this lasts nobody else lists the folder, or adds a file to it. Waits for those who do.

    Raises StoreError where the file system has no locks.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_locked(folder, fcntl.LOCK_EX))
        except OSError as error:
            raise _no_locks(folder, error) from None
        yield


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """While this lasts no other process does so with the folder, which is made where it is not there.

    Raises StoreError where another one does; where the file system has no locks nobody is kept out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another process is waiting for the batches in {folder}; let it end, and run again"
            raise StoreError(message) from None
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def mark_written(descriptor: int) -> bool:
    """Lock an open file as one that this process writes, until it is closed.

    False where it was deleted before it was locked: what is written to it now would be lost.
    """
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return os.fstat(descriptor).st_nlink > 0


def is_written(file: Path) -> bool:
    """Whether a process writes a file; where the file system has no locks nobody is known to."""
    with contextlib.suppress(StoreError), unwritten(file) as size:
        return size is None
    return False


@contextmanager
def unwritten(file: Path) -> Iterator[int | None]:
    """The size in bytes of a file that no process writes, and while this lasts none will; None where a process does.

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
        f"{folder} cannot be locked ({error.strerror}), so nobody can tell whether a run is writing to it; "
        "nothing was changed. Copy the folder to a disk of this machine, do it there, and copy it back"
    )
