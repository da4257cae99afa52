"""The ledger: an append-only record of replies, in JSON Lines, keyed by the content of the request.

{"key": "…", "model": "openai/gpt-4o-mini", "text": "4.5\\n…", "input_tokens": 312, "output_tokens": 41, "cost_usd": 7.1e-05}

Every process writes a file of its own, so that none waits for another and a torn last line harms nobody else.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alpaqual.disk import flush
from alpaqual.errors import StoreError
from alpaqual.store.claims import Claims
from alpaqual.store.locking import is_written, mark_written, sharing
from alpaqual.values import Reply, Request, whole

_TICKS = 1_000_000_000
"""Nanoseconds: more than what any file system's clock counts in."""


def request_key(request: Request) -> str:
    """sha256 over model, messages and parameters in canonical JSON, in hexadecimal; a repeated question has a key of its own."""
    content: list[Any] = [request.model, [list(message) for message in request.messages], dict(request.parameters)]
    if request.repeat:
        content.append(request.repeat)
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
    ).hexdigest()


class Ledger:
    """Replies of one ledger file, or of every `.jsonl` of a folder. Of two replies to one key the first counts.

    Keeps in memory where each reply lies, not the replies: about 200 bytes each. `claims` is the file in which the
    processes that share the folder tell each other what they ask; without it nobody is told.
    """

    def __init__(self, path: Path, claims: Path | None = None) -> None:
        self.path = path
        self._claims = None if claims is None else Claims(claims)
        self._files: list[Path] = []
        self._ends: dict[int, int] = {}
        self._growing: set[int] = set()
        self._taken_in: set[int] = set()
        self._news: set[bytes] = set()
        self._listed = 0
        self._read: dict[int, int] = {}
        self._places: dict[bytes, tuple[int, int, int]] = {}
        self._models: dict[str, None] = {}
        self._written: int | None = None
        self._end = 0
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
            # `replies compact`, or git, put another file in its place: every reply is in the folder still, elsewhere.
            self._load()
        try:
            return self._reply(key)
        except (OSError, ValueError, KeyError, TypeError):
            raise StoreError(f"the replies in {self.path} changed while they were read; run again") from None

    def models(self) -> Sequence[str]:
        """The models that were asked, in order of their first reply."""
        return list(self._models)

    def add(self, key: str, reply: Reply, asked: str = "") -> None:
        """Append a reply to this process's own file, in one write; `asked` is the model of the request.

        Raises StoreError where it cannot be written: what cannot be kept should not be paid for.
        """
        line = f"{entry(key, reply, asked)}\n".encode()
        try:
            if self._written is None:
                self._written = self._new_file()
            descriptor = self._descriptor(self._written)
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, self._end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise StoreError(
                f"the ledger {self.path} cannot be written: {error.strerror}; asking has stopped, so that no reply is paid for and lost"
            ) from None
        self._places.setdefault(_short(key), (self._written, self._end, len(line)))
        self._models[asked or reply.model] = None
        self._end += len(line)

    def claim(self, key: str) -> bool:
        """Say that this process asks for a reply; False while another process does.

        What others have written until then can be had by `get`. Raises StoreError.
        """
        if self._claims is None:
            return True
        try:
            if not self._claims.take(key):
                return False
            try:
                self._take_in()
            except FileNotFoundError:
                self._load()
        except OSError as error:
            raise StoreError(f"the replies in {self.path} cannot be shared: {error.strerror}") from None
        return True

    def is_news(self, key: str) -> bool:
        """Whether another process wrote this reply while this one runs; true once for each."""
        short = _short(key)
        news = short in self._news
        self._news.discard(short)
        return news

    def forget_news(self) -> None:
        """From here on news is what is written later."""
        self._news.clear()

    def release(self, key: str) -> None:
        """Let others ask for a reply again."""
        if self._claims is not None:
            self._claims.drop(key)

    def flush(self) -> None:
        """Wait until the disk has every reply that was added, and those of other processes that were taken in."""
        taken_in, self._taken_in = self._taken_in, set()
        for number in taken_in:
            # Opened anew: this runs beside what reads, which may close its own. A file that is gone was put into another, on the disk.
            with contextlib.suppress(FileNotFoundError):
                flush(self._files[number])
        if self._written is not None:
            os.fsync(self._descriptor(self._written))

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._read.values():
            os.close(descriptor)
        self._read.clear()

    def _load(self) -> None:
        """Find every reply's place; those found before are forgotten."""
        with sharing(self.path):
            folder = self.path.is_dir() or not self.path.exists()
            files = sorted(self.path.glob("*.jsonl")) if folder else [self.path]
            self._places.clear()
            self._ends.clear()
            self._growing.clear()
            for number in [number for number in self._read if number != self._written]:
                os.close(self._read.pop(number))
            numbers = {file: number for number, file in enumerate(dict.fromkeys([*self._files, *files]))}
            self._files = list(numbers)
            for file in files:
                self._read_from_the_start(numbers[file])

    def _take_in(self) -> None:
        """Read what other processes have written since. Raises FileNotFoundError where files were taken away."""
        changed = self.path.stat().st_mtime_ns
        if changed != self._listed:
            # A change within the same tick of the clock would leave no trace: look again until there was time enough.
            self._listed = changed if time.time_ns() - changed > _TICKS else 0
            for file in sorted({*self.path.glob("*.jsonl")}.difference(self._files)):
                self._files.append(file)
                self._news.update(self._read_from_the_start(len(self._files) - 1))
        for number in self._growing:
            if self._files[number].stat().st_size > self._ends[number]:
                self._news.update(self._read_on(number))
                self._taken_in.add(number)

    def _read_from_the_start(self, number: int) -> list[bytes]:
        file = self._files[number]
        self._ends[number] = 0
        # An empty one was only just made: its process has yet to lock it.
        if self._claims is not None and number != self._written and (is_written(file) or not file.stat().st_size):
            self._growing.add(number)
        return self._read_on(number)

    def _read_on(self, number: int) -> list[bytes]:
        """Find the places of the replies of a file that were not found before; the keys that are new."""
        new = []
        for key, _, asked, start, length in entries(self._files[number], self._ends[number]):
            short = _short(key)
            if short not in self._places:
                self._places[short] = (number, start, length)
                new.append(short)
            self._models[asked] = None
            self._ends[number] = start + length
        return new

    def _reply(self, key: str) -> Reply | None:
        place = self._places.get(_short(key))
        if place is None:
            return None
        number, start, length = place
        found, reply = entry_of(json.loads(os.pread(self._descriptor(number), length, start)))
        if _short(found) != _short(key):
            raise KeyError(key)
        return reply

    def _new_file(self) -> int:
        self.path.mkdir(parents=True, exist_ok=True)
        with sharing(self.path):
            while (number := self._one_new_file()) is None:
                pass
        return number

    def _one_new_file(self) -> int | None:
        name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:12]}.jsonl"
        descriptor = os.open(self.path / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        if not mark_written(descriptor):
            os.close(descriptor)
            return None
        self._files.append(self.path / name)
        self._read[len(self._files) - 1] = descriptor
        return len(self._files) - 1

    def _descriptor(self, number: int) -> int:
        if number not in self._read:
            self._read[number] = os.open(self._files[number], os.O_RDONLY)
        return self._read[number]


class Recording(Ledger):
    """A ledger whose replies serve whatever model was asked for them: `recorded/PATH`. Nothing is added to it."""

    def key(self, request: Request) -> str:
        """The key under which one of its models answered this request; under no model's name where none did."""
        keys = (
            request_key(Request(model, request.messages, request.parameters, request.repeat)) for model in self._models
        )
        return next((key for key in keys if _short(key) in self._places), request_key(request))


def entry(key: str, reply: Reply, asked: str = "") -> str:
    """One line of a ledger, without its line end. The model that was asked stands there where another id answered."""
    fields: dict[str, Any] = {"key": key, "model": reply.model, "text": reply.text}
    if asked not in ("", reply.model):
        fields["asked"] = asked
    fields |= {name: value for name, value in asdict(reply).items() if name not in fields and value is not None}
    text = json.dumps(fields, ensure_ascii=False)
    # A lone surrogate, which JSON can spell and no file can hold, becomes the replacement character.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def entries(file: Path, start: int = 0) -> Iterator[tuple[str, Reply, str, int, int]]:
    """Key, reply, model that was asked, start and length in bytes of each line of one file, from byte `start` on.

    Raises StoreError at a line that is no entry; a torn last line, which a killed process leaves, is passed over.
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
    """Key and reply of an entry. Raises ValueError, KeyError or TypeError where it is none."""
    texts = [value[field] for field in ("key", "text", "model")]
    tokens = [value.get(field) for field in ("input_tokens", "output_tokens")]
    cost = value.get("cost_usd")
    if not all(isinstance(text, str) for text in texts) or not all(type(n) in (int, type(None)) for n in tokens):
        raise TypeError("a key, a text and a model are texts, tokens are numbers")
    if cost is not None and not isinstance(cost, int | float):
        raise TypeError("a cost is a number")
    key, text, model = (whole(text) for text in texts)
    return key, Reply(text, model, tokens[0], tokens[1], cost)


def _short(key: str) -> bytes:
    """Half of a key: enough to tell replies apart, and half the memory."""
    try:
        return bytes.fromhex(key[:32])
    except ValueError:
        return key.encode("utf-8", "replace")
