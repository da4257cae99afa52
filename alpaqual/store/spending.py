"""What the processes of a project spend on the same requests at this moment: one small file a process, in a folder an account.

A file has what its process has taken (spent, or reserved for requests in flight), what of it is spent, and what is reserved for
batches. Its lock shows that the process runs: the operating system releases it when the process ends, also when it is killed.
What a killed process had reserved then counts as spent, since its requests may have been answered; a batch continues, and the next
process reserves it again. The file `lock` has what was spent before, and how often a process came or went.

Only a reservation needs the lock of the account. A process writes its own file without it: a number of eight bytes is written as a
whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import math
import os
import struct
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from alpaqual.errors import StoreError
from alpaqual.store.locking import mark_written
from alpaqual.store.lost import KILLED, LostFile

_OWN = struct.Struct("<5d")
"""A process: taken, spent, reserved for batches, tokens a byte, tokens of the longest reply."""
_HEAD = struct.Struct("<2d")
"""The account: spent before, changes of the list of processes."""
_LOCK = "lock"
_TRY_SECONDS = 0.001
_WAIT_SECONDS = 10.0
"""How long the lock is waited for. Its holder needs microseconds; one that is suspended then may pass a limit by one request."""
_NOTHING = 1e-9
"""US dollars below which a sum is a rounding error."""


class SharedSpending:
    """This process's part of an account, and what the others have taken. Call `close` at the end.

    On a file system without locks, a process that was killed counts as one that runs.
    """

    def __init__(self, folder: Path, lost: LostFile) -> None:
        """Join the processes that work on this account; `folder` is created. Raises StoreError where it cannot be written."""
        self.folder = folder
        self.lost = lost
        self._own = [0.0, 0.0, 0.0, 0.0, 0.0]
        self._others: dict[Path, int] = {}
        self._learned = (0.0, 0)
        self._changes = -1.0
        self._file = folder / uuid.uuid4().hex
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            with self._locked():
                if not self._live_after_folding():
                    self._write_head(0.0)
                self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
                mark_written(self._descriptor)
                self._write()
                self._write_head(self._head()[0], changed=True)
        except OSError as error:
            raise StoreError(
                f"{folder} cannot be written: {error.strerror}; no request is sent without a budget"
            ) from None
        self.mark()

    @property
    def lost_usd(self) -> float:
        """What is counted for requests whose reply was lost, those of earlier runs included."""
        return self.lost.usd

    def mark(self) -> None:
        """Remember what is counted now, before the ledger is read. What other processes spend between the two counts twice."""
        with self._locked():
            self._marked = self._taken_before()
        self.lost.read()
        self._lost_at_mark = self.lost.usd

    def raise_to(self, known: float) -> None:
        """Take in that the replies which the ledger had at `mark` cost `known` US dollars; other processes may know of fewer."""
        with self._locked():
            self._write_head(self._head()[0] + max(0.0, known + self._lost_at_mark - self._marked))

    async def reserve(self, usd: float, limit: float, *, batch: bool = False) -> bool:
        """Reserve for one request; False, and nothing reserved, where the sum over all processes would pass the limit."""
        if math.isfinite(limit):
            await self._acquire()
            try:
                if self._taken_before() + self._own[0] + usd > limit:
                    return False
                self.settle(-usd, 0.0, batch=batch)
            finally:
                self._release()
        else:
            self.settle(-usd, 0.0, batch=batch)
        return True

    def settle(self, reserved: float, cost: float, *, batch: bool = False) -> None:
        """Replace a reservation by what was paid."""
        own = self._own
        own[0] += cost - reserved
        own[1] += cost
        if batch:
            own[2] -= reserved
        self._write()

    def lose(self, reserved: float, cost: float, reason: str, *, batch: bool = False) -> None:
        """Replace a reservation by what a lost reply may have cost, and keep that for later runs. Raises StoreError."""
        self.lost.add(cost, reason)
        self.settle(reserved, cost, batch=batch)

    async def sums(self) -> tuple[float, float]:
        """Spent by all processes, and reserved by the others that run; what dead ones had reserved is spent."""
        await self._acquire()
        try:
            self._live_after_folding()
            others = [self._read(descriptor) for descriptor in self._others.values()]
            reserved = sum(taken - spent for taken, spent, *_ in others)
            spent = self._head()[0] + self._own[1] + sum(spent for _, spent, *_ in others)
            return spent, reserved if reserved > _NOTHING else 0.0
        finally:
            self._release()

    def learn(self, tokens_per_byte: float, reply_tokens: int) -> tuple[float, int]:
        """Share the most tokens a byte and the longest reply that were counted; returns those of all processes."""
        if (tokens_per_byte, reply_tokens) != (self._own[3], self._own[4]):
            self._own[3:] = tokens_per_byte, reply_tokens
            self._write()
        return max(tokens_per_byte, self._learned[0]), max(reply_tokens, self._learned[1])

    def close(self) -> None:
        """Leave: what was spent stays counted for the others."""
        with contextlib.suppress(OSError), self._locked():
            self._write_head(self._head()[0] + self._own[0] - self._own[2], changed=True)
            self._file.unlink(missing_ok=True)
        for descriptor in (*self._others.values(), self._descriptor, self._lock):
            os.close(descriptor)
        self._others.clear()
        self._descriptor = -1

    def _live_after_folding(self) -> bool:
        """Count what dead processes have taken as spent, and remove their files; whether another process runs."""
        self._list(self._head()[1])
        for file, descriptor in list(self._others.items()):
            if not _is_free(descriptor):
                continue
            taken, spent, in_batches, *_ = self._read(descriptor)
            in_flight = taken - spent - in_batches
            if in_flight > _NOTHING:
                # Before the file is gone: counting it twice is better than never.
                self.lost.add(in_flight, KILLED)
            self._write_head(self._head()[0] + taken - in_batches, changed=True)
            file.unlink(missing_ok=True)
            os.close(self._others.pop(file))
        return bool(self._others)

    def _taken_before(self) -> float:
        """What was spent before, and what the others have taken; remembers what they learned."""
        total, changes = self._head()
        self._list(changes)
        per_byte, longest = 0.0, 0
        for descriptor in self._others.values():
            taken, _, _, ratio, reply = self._read(descriptor)
            total, per_byte, longest = total + taken, max(per_byte, ratio), max(longest, int(reply))
        self._learned = per_byte, longest
        return total

    def _list(self, changes: float) -> None:
        """Open the files of processes that came, and close those of processes that went."""
        if changes == self._changes:
            return
        self._changes = changes
        found = {file for file in self.folder.iterdir() if file.name != _LOCK and file != self._file}
        for file in self._others.keys() - found:
            os.close(self._others.pop(file))
        for file in found - self._others.keys():
            with contextlib.suppress(FileNotFoundError):
                self._others[file] = os.open(file, os.O_RDONLY)

    def _head(self) -> tuple[float, float]:
        data = os.pread(self._lock, _HEAD.size, 0)
        before, changes = _HEAD.unpack(data) if len(data) == _HEAD.size else (0.0, 0.0)
        return before, changes

    def _write_head(self, before: float, *, changed: bool = False) -> None:
        changes = self._head()[1]
        if changed and changes == self._changes:
            self._changes += 1
        os.pwrite(self._lock, _HEAD.pack(before, changes + changed), 0)

    def _read(self, descriptor: int) -> tuple[float, float, float, float, float]:
        data = os.pread(descriptor, _OWN.size, 0)
        if len(data) < _OWN.size:
            return 0.0, 0.0, 0.0, 0.0, 0.0
        taken, spent, in_batches, ratio, reply = _OWN.unpack(data)
        return taken, spent, in_batches, ratio, reply

    def _write(self) -> None:
        if self._descriptor >= 0:
            os.pwrite(self._descriptor, _OWN.pack(*self._own), 0)

    def _try(self) -> bool:
        """Try to get the lock of the account; without locks, it is always free."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def _release(self) -> None:
        with contextlib.suppress(OSError):
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    async def _acquire(self) -> None:
        end = time.monotonic() + _WAIT_SECONDS
        while not self._try() and time.monotonic() < end:
            await asyncio.sleep(_TRY_SECONDS)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        end = time.monotonic() + _WAIT_SECONDS
        while not self._try() and time.monotonic() < end:
            time.sleep(_TRY_SECONDS)
        try:
            yield
        finally:
            self._release()


def _is_free(descriptor: int) -> bool:
    """Whether no process writes a file; False on a file system without locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True
