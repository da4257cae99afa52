"""The ledger: an append-only record of paid replies, in JSON Lines, keyed by the content of the request.

{"key": "…", "model": "openai/gpt-4o-mini", "text": "4.5\\n…", "input_tokens": 312, "output_tokens": 41, "cost_usd": 7.1e-05,
"finish_reason": "stop", "cache": {"read": 256, "written": 0, "written_1h": 0}}, on one line; all behind `text` may be missing.

Every process writes its own file, so that none waits for another and a torn last line affects one file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alpaqual.disk import flush
from alpaqual.errors import StoreError
from alpaqual.store.claims import Claims
from alpaqual.store.entry_files import new_file_name
from alpaqual.store.locking import is_being_written, mark_written, shared_lock
from alpaqual.values import CacheTokens, Reply, Request, replace_surrogates

_CLOCK_RESOLUTION = 1_000_000_000
"""Nanoseconds; coarser than the modification times of any file system."""


def request_key(request: Request) -> str:
    """sha256, in hexadecimal, over model, messages and parameters in canonical JSON; a repeat has its own key."""
    content: list[Any] = [request.model, [list(message) for message in request.messages], dict(request.parameters)]
    if request.repeat:
        content.append(request.repeat)
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    ).hexdigest()


class Ledger:
    """Replies of one ledger file, or of every `.jsonl` file of a folder. The first reply to a key counts.

    Keeps the position of each reply in memory, not the reply: about 200 bytes each. `claims` is the lock file of the
    processes that share the folder; without it, two of them may send the same request.
    """

    def __init__(self, path: Path, claims: Path | None = None) -> None:
        self.path = path
        self._claims = None if claims is None else Claims(claims)
        self._files: list[Path] = []
        self._ends: dict[int, int] = {}
        self._live: set[int] = set()
        self._unflushed: set[int] = set()
        self._external: set[bytes] = set()
        self._listed_at = 0
        self._descriptors: dict[int, int] = {}
        self._places: dict[bytes, tuple[int, int, int]] = {}
        self._models: dict[str, None] = {}
        self._own_file: int | None = None
        self._own_end = 0
        self._load()

    def __len__(self) -> int:
        return len(self._places)

    def key(self, request: Request) -> str:
        """See `request_key`."""
        return request_key(request)

    def get(self, key: str) -> Reply | None:
        """The reply to the request of this key.

        Raises StoreError where files change faster than they can be read.
        """
        try:
            return self._reply(key)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            # `replies compact` or git replaced the file: every reply is still in the folder.
            self._load()
        try:
            return self._reply(key)
        except (OSError, ValueError, KeyError, TypeError):
            raise StoreError(f"the replies in {self.path} changed while they were read; rerun") from None

    def models(self) -> Sequence[str]:
        """The models of the requests, in order of their first reply."""
        return list(self._models)

    def add(self, key: str, reply: Reply, requested_model: str = "") -> None:
        """Append a reply to this process's own file, in one write.

        Raises StoreError where it cannot be written: a reply that cannot be kept should not be paid for.
        """
        line = f"{entry(key, reply, requested_model)}\n".encode()
        try:
            if self._own_file is None:
                self._own_file = self._new_file()
            descriptor = self._descriptor(self._own_file)
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, self._own_end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise StoreError(
                f"the ledger {self.path} cannot be written: {error.strerror}; the run stops, so that no reply is paid for and lost"
            ) from None
        self._places.setdefault(short_key(key), (self._own_file, self._own_end, len(line)))
        self._models[requested_model or reply.model] = None
        self._own_end += len(line)

    def claim(self, key: str) -> bool:
        """Claim a key for this process; False while another process holds it.

        `get` then has what other processes wrote until now. Raises StoreError.
        """
        if self._claims is None:
            return True
        try:
            if not self._claims.acquire(key):
                return False
        except OSError as error:
            raise self._unshared(error) from None
        self.refresh()
        return True

    def refresh(self) -> None:
        """Read what other processes have written since the last time. Raises StoreError."""
        if self._claims is None:
            return
        try:
            self._read_others()
        except FileNotFoundError:
            self._load()
        except OSError as error:
            raise self._unshared(error) from None

    def _unshared(self, error: OSError) -> StoreError:
        return StoreError(f"the replies in {self.path} cannot be shared: {error.strerror}")

    def is_external(self, key: str) -> bool:
        """Whether another process wrote this reply during this run; true once for each."""
        short = short_key(key)
        external = short in self._external
        self._external.discard(short)
        return external

    def reset_external(self) -> None:
        """Treat every reply read so far as known: `is_external` is for later ones."""
        self._external.clear()

    def release(self, key: str) -> None:
        """Release the claim of a key."""
        if self._claims is not None:
            self._claims.release(key)

    def flush(self) -> None:
        """Flush every reply that was added, and those read from other processes, to the disk."""
        unflushed, self._unflushed = self._unflushed, set()
        for number in unflushed:
            # With its own descriptor: readers in another thread may close theirs. A missing file was compacted, and flushed then.
            with contextlib.suppress(FileNotFoundError):
                flush(self._files[number])
        if self._own_file is not None:
            os.fsync(self._descriptor(self._own_file))

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()

    def _load(self) -> None:
        """Read the position of every reply, from all files."""
        with shared_lock(self.path):
            folder = self.path.is_dir() or not self.path.exists()
            files = sorted(self.path.glob("*.jsonl")) if folder else [self.path]
            self._places.clear()
            self._ends.clear()
            self._live.clear()
            for number in [number for number in self._descriptors if number != self._own_file]:
                os.close(self._descriptors.pop(number))
            numbers = {file: number for number, file in enumerate(dict.fromkeys([*self._files, *files]))}
            self._files = list(numbers)
            for file in files:
                self._read_file(numbers[file])

    def _read_others(self) -> None:
        """Read what other processes have written since. Raises FileNotFoundError where files were removed."""
        changed = self.path.stat().st_mtime_ns
        if changed != self._listed_at:
            # A change within the clock's resolution leaves the same time: list the folder again until that has passed.
            self._listed_at = changed if time.time_ns() - changed > _CLOCK_RESOLUTION else 0
            for file in sorted({*self.path.glob("*.jsonl")}.difference(self._files)):
                self._files.append(file)
                self._external.update(self._read_file(len(self._files) - 1))
        for number in self._live:
            if self._files[number].stat().st_size > self._ends[number]:
                self._external.update(self._read_rest(number))
                self._unflushed.add(number)

    def _read_file(self, number: int) -> list[bytes]:
        file = self._files[number]
        self._ends[number] = 0
        # An empty file is new: its process may not have locked it yet.
        if (
            self._claims is not None
            and number != self._own_file
            and (is_being_written(file) or not file.stat().st_size)
        ):
            self._live.add(number)
        return self._read_rest(number)

    def _read_rest(self, number: int) -> list[bytes]:
        """Read a file from where the last read ended; returns the new keys."""
        new = []
        for key, _, requested_model, start, length in entries(self._files[number], self._ends[number]):
            short = short_key(key)
            if short not in self._places:
                self._places[short] = (number, start, length)
                new.append(short)
            self._models[requested_model] = None
            self._ends[number] = start + length
        return new

    def _reply(self, key: str) -> Reply | None:
        place = self._places.get(short_key(key))
        if place is None:
            return None
        number, start, length = place
        found, reply = entry_of(json.loads(os.pread(self._descriptor(number), length, start)))
        if short_key(found) != short_key(key):
            raise KeyError(key)
        return reply

    def _new_file(self) -> int:
        self.path.mkdir(parents=True, exist_ok=True)
        with shared_lock(self.path):
            while (number := self._try_new_file()) is None:
                pass
        return number

    def _try_new_file(self) -> int | None:
        name = new_file_name()
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        if not mark_written(descriptor):
            os.close(descriptor)
            return None
        self._files.append(self.path / name)
        self._descriptors[len(self._files) - 1] = descriptor
        return len(self._files) - 1

    def _descriptor(self, number: int) -> int:
        if number not in self._descriptors:
            self._descriptors[number] = os.open(self._files[number], os.O_RDONLY)
        return self._descriptors[number]


class Recording(Ledger):
    """A read-only ledger, `recorded/PATH`: its replies answer requests to any model."""

    def key(self, request: Request) -> str:
        """The key of this request to whichever model answered it; the request's own key where none did."""
        keys = (
            request_key(Request(model, request.messages, request.parameters, request.repeat)) for model in self._models
        )
        return next((key for key in keys if short_key(key) in self._places), request_key(request))


def entry(key: str, reply: Reply, requested_model: str = "") -> str:
    """One line of a ledger, without its line end; `asked` is the model of the request, where another id answered."""
    fields: dict[str, Any] = {"key": key, "model": reply.model, "text": reply.text}
    if requested_model not in ("", reply.model):
        fields["asked"] = requested_model
    fields |= {name: value for name, value in asdict(reply).items() if name not in fields and value is not None}
    return replace_surrogates(json.dumps(fields, ensure_ascii=False))


def entries(file: Path, start: int = 0) -> Iterator[tuple[str, Reply, str, int, int]]:
    """(key, reply, requested model, start, length) of each line of one file, in bytes, from byte `start` on.

    Raises StoreError at a line that is not an entry; skips a torn last line, which a killed process leaves.
    """
    try:
        with file.open("rb") as stream:
            stream.seek(start)
            for line in stream:
                if line.strip():
                    try:
                        value = json.loads(line)
                        key, reply = entry_of(value)
                        yield key, reply, str(value.get("asked") or reply.model), start, len(line)
                    except (ValueError, KeyError, TypeError, RecursionError):
                        if not line.endswith(b"\n"):
                            return
                        number = file.read_bytes()[:start].count(b"\n") + 1
                        raise StoreError(f"{file}:{number}: not an entry of a ledger (key, model, text)") from None
                start += len(line)
    except OSError as error:
        raise StoreError(f"the replies {file} cannot be read: {error.strerror}") from None


def entry_of(value: Any) -> tuple[str, Reply]:
    """Key and reply of an entry. Raises ValueError, KeyError or TypeError where the value is not one."""
    # A ledger has a million entries: plain comparisons take half of the time of `all` over a generator.
    key, text, model = value["key"], value["text"], value["model"]
    given = value.get
    received, sent, reasoning = given("input_tokens"), given("output_tokens"), given("reasoning_tokens")
    cost, finish, cache = given("cost_usd"), given("finish_reason"), given("cache")
    if not (isinstance(key, str) and isinstance(text, str) and isinstance(model, str)):
        raise TypeError("key, text and model are texts")
    if type(received) not in _COUNTS or type(sent) not in _COUNTS or type(reasoning) not in _COUNTS:
        raise TypeError("tokens are integers")
    if cost is not None and not isinstance(cost, int | float):
        raise TypeError("a cost is a number")
    if finish is not None:
        if not isinstance(finish, str):
            raise TypeError("a finish reason is a text")
        finish = replace_surrogates(finish)
    if cache is not None:
        cache = _cache_of(cache)
    if not (key.isascii() and text.isascii() and model.isascii()):
        key, text, model = replace_surrogates(key), replace_surrogates(text), replace_surrogates(model)
    return key, Reply(text, model, received, sent, cost, finish, reasoning, cache)


_COUNTS = (int, type(None))


def _cache_of(value: Any) -> CacheTokens:
    """The cache's tokens of an entry. Raises TypeError, KeyError."""
    tokens = [value[field] for field in ("read", "written", "written_1h")]
    if not all(type(n) is int for n in tokens):
        raise TypeError("tokens are integers")
    return CacheTokens(*tokens)


def short_key(key: str) -> bytes:
    """Half of a key: enough to identify a reply, at half the memory."""
    try:
        return bytes.fromhex(key[:32])
    except ValueError:
        return key.encode("utf-8", "replace")
