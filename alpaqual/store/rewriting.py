"""The files of a ledger, written anew: into one file (compact), without what is named (prune), or as a file for a team (export).

A process that is killed at any moment leaves every reply in at least one whole file: what replaces a file is on the disk under
its own name before the old one goes. A file that a process writes is read, and left as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alpaqual.disk import flush
from alpaqual.errors import StoreError
from alpaqual.store.ledger import _short as short_key
from alpaqual.store.ledger import entry, entry_of
from alpaqual.store.locking import alone, sharing, unwritten
from alpaqual.store.replies import Line, Sums, check_models, files_of, is_torn, lines_of, refusal
from alpaqual.store.store import clear_partial_files

COMPACTED = "00-compacted.jsonl"
"""Stands before the files that runs write, which begin with a year: the replies that counted go on counting."""

_Place = tuple[Path, int, int]
"""A line: its file, its first byte, its length in bytes."""


@dataclass(frozen=True)
class Compacted:
    """What became of a ledger: files before, files taken into one, replies in that one, and what was left out of it."""

    files: int
    merged: int
    replies: int
    duplicates: int
    torn: int
    written: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """What `prune` was asked to delete; `held` of these replies lie in files that a process writes, and stay."""

    sums: Sums
    held: int


def compact(folder: Path) -> Compacted:
    """Put the files of a ledger into one, an entry a key (the first counts), in the order of the keys.

    What `Ledger` reads from the folder is the same before and after, and at every moment between.
    Raises StoreError, with file:line, at a line that is no entry, and where files cannot be locked or written: no reply is lost.
    """
    if not folder.is_dir():
        return Compacted(0, 0, 0, 0, 0, ())
    with _telling(folder, "compacted; no reply was lost"), alone(folder):
        clear_partial_files(folder)
        files = files_of(folder)
        sizes = _sizes(files)
        quiet = {file: size for file, size in sizes.items() if size is not None}
        written = [file for file, size in sizes.items() if size is None]
        places, duplicates, torn = _first_lines(files, set(quiet))
        # A reply that is only in a file of a run counts from there on: the disk shall have it before its copy goes.
        for file in written:
            flush(file)
        merged = folder / COMPACTED
        if places:
            _write(merged, places)
        for file, size in quiet.items():
            if file != merged or not places:
                _unless_written(file, size, file.unlink)
        flush(folder)
    return Compacted(len(files), len(quiet), len(places), duplicates, torn, tuple(file.name for file in written))


def find_named(folder: Path, models: Collection[str], keys: Collection[str]) -> Named:
    """The replies of these models and to these keys, those that count and those that do not, and what they cost.

    Raises RecipeError where nothing is named, or something that is not there; StoreError at a line that is no entry.
    """
    with sharing(folder):
        files = files_of(folder)
        held = {file for file, size in _sizes(files).items() if size is None}
        return _named(folder, files, held, models, keys)


def prune(folder: Path, models: Collection[str], keys: Collection[str], shown: Named | None = None) -> Named:
    """Delete the replies of these models and to these keys, and nothing else; `shown` is what was agreed to.

    Raises RecipeError where nothing is named, or something that is not there; StoreError where other replies than were shown
    would go, at a line that is no entry, and where files cannot be locked or written.
    """
    if not folder.is_dir():
        check_models(folder, models, ())
    with _telling(folder, "pruned; nothing is gone but what was named"), alone(folder):
        clear_partial_files(folder)
        files = files_of(folder)
        sizes = _sizes(files)
        found = _named(folder, files, {file for file, size in sizes.items() if size is None}, models, keys)
        if shown is not None and found != shown:
            raise StoreError(f"the replies in {folder} changed meanwhile; nothing was deleted, run it again")
        held = found.held
        for file, size in sizes.items():
            if size is not None:
                named = [(line.start, line.length) for line in lines_of(file) if _is_named(line, models, keys)]
                if named and not _without(file, size, named):
                    held += len(named)
        flush(folder)
    return Named(found.sums, held)


def export_replies(folder: Path, target: Path, models: Collection[str] = ()) -> Sums:
    """Write the replies that count, of these models or of all, as one file that `recorded/FILE` reads.

    Its bytes depend on the replies alone: a line each, in the order of their keys.
    Raises RecipeError where there is nothing to write or `target` is no place for it; StoreError.
    """
    _check_target(folder, target)
    sums = Sums()
    places: dict[bytes, _Place | None] = {}
    known: set[str] = set()
    with _telling(folder, f"exported to {target}"), sharing(folder):
        for line in _every_line(files_of(folder)):
            known.add(line.reply.model)
            short = short_key(line.key)
            if short not in places:
                wanted = not models or line.reply.model in models
                places[short] = _place(line) if wanted else None
                if wanted:
                    sums.add(line.reply)
        check_models(folder, models, known)
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(target, {short: place for short, place in places.items() if place}, _canonical)
    return sums


def _check_target(folder: Path, target: Path) -> None:
    if target.is_dir():
        raise refusal(target, "is a folder; name the file to write")
    if target.resolve().parent == folder.resolve():
        raise refusal(target, "lies in the ledger itself, which would hold every reply twice; name a file elsewhere")
    if not target.exists():
        return
    try:
        end = max((line.start + line.length for line in lines_of(target)), default=0)
        foreign = not end and is_torn(target, 0)
    except StoreError:
        foreign = True
    if foreign:
        raise refusal(target, "is there and is no file of replies; it was left as it is")


def _named(
    folder: Path, files: Sequence[Path], held: set[Path], models: Collection[str], keys: Collection[str]
) -> Named:
    sums, known, missing, staying = Sums(), set(), set(keys), 0
    for line in _every_line(files):
        known.add(line.reply.model)
        missing.discard(line.key)
        if _is_named(line, models, keys):
            sums.add(line.reply)
            staying += line.file in held
    if known and not models and not keys:
        there = ", ".join(sorted(known))
        raise refusal(folder, f"nothing was named, so nothing is deleted; name --model (there are: {there}) or --key")
    check_models(folder, models, known)
    if missing:
        raise refusal(folder, f"no reply has the key '{min(missing)}'; nothing was deleted")
    return Named(sums, staying)


def _is_named(line: Line, models: Collection[str], keys: Collection[str]) -> bool:
    return line.reply.model in models or line.key in keys


def _every_line(files: Iterable[Path]) -> Iterator[Line]:
    return (line for file in files for line in lines_of(file))


def _place(line: Line) -> _Place:
    return line.file, line.start, line.length


def _sizes(files: Iterable[Path]) -> dict[Path, int | None]:
    """The size in bytes of each file; None of one that a process writes."""
    sizes: dict[Path, int | None] = {}
    for file in files:
        with unwritten(file) as size:
            sizes[file] = size
    return sizes


def _first_lines(files: Sequence[Path], quiet: set[Path]) -> tuple[dict[bytes, _Place], int, int]:
    """Of each key the line that counts, where it lies in a quiet file; how many lines of quiet files do not; torn files."""
    places: dict[bytes, _Place | None] = {}
    duplicates = torn = 0
    for file in files:
        end = 0
        for line in lines_of(file):
            short = short_key(line.key)
            duplicates += short in places and file in quiet
            places.setdefault(short, _place(line) if file in quiet else None)
            end = line.start + line.length
        torn += file in quiet and is_torn(file, end)
    return {short: place for short, place in places.items() if place}, duplicates, torn


def _write(target: Path, places: dict[bytes, _Place], form: Callable[[bytes], bytes] | None = None) -> None:
    """Write these lines, in the order of their keys, as a whole file."""
    with contextlib.closing(_Lines()) as lines, _part(target) as part:
        _fill(part, ((form or _verbatim)(lines.read(places[short])) for short in sorted(places)))
        part.replace(target)
        flush(target.parent)


def _without(file: Path, size: int, named: Sequence[tuple[int, int]]) -> bool:
    """Write a file without the lines that start here and are so long, the rest byte for byte; False where it had to stay."""
    with _part(file) as part:
        _fill(part, _around(file, named))
        part.chmod(file.stat().st_mode & 0o777)
        return _unless_written(file, size, lambda: part.replace(file) if part.stat().st_size else file.unlink())


def _around(file: Path, named: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    with file.open("rb") as stream:
        for start, length in named:
            yield stream.read(start - stream.tell())
            stream.seek(length, os.SEEK_CUR)
        yield stream.read()


def _unless_written(file: Path, size: int, deed: Callable[[], object]) -> bool:
    """Do it to a file of this size. One that grew has a reply that was not read and stays: that costs space, and no reply."""
    with unwritten(file) as now:
        if now == size:
            deed()
        return now == size


def _fill(part: Path, pieces: Iterable[bytes]) -> None:
    with part.open("wb") as stream:
        stream.writelines(pieces)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """The name under which a file is being made, which no ledger reads; what has that name at the end is deleted."""
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _verbatim(line: bytes) -> bytes:
    """A line as it stands, fields that this version does not know included, and ended; JSON in another encoding is written anew."""
    text = line.strip()
    return text + b"\n" if text.startswith(b"{") and b"\0" not in text else _canonical(line)


def _canonical(line: bytes) -> bytes:
    """A line as `Ledger` would write it; fields that this version does not know come last, by name."""
    value = json.loads(line)
    known = json.loads(entry(*entry_of(value)))
    unknown = {name: value[name] for name in sorted(value) if name not in known and value[name] is not None}
    text = json.dumps(known | unknown, ensure_ascii=False)
    # A lone surrogate, which JSON can spell and no file can hold, becomes a question mark.
    return f"{text}\n".encode("utf-8", "replace")


class _Lines:
    """Reads lines of many files in any order, with few files open at a time."""

    def __init__(self) -> None:
        self.opened: dict[Path, int] = {}

    def read(self, place: _Place) -> bytes:
        """Raises OSError."""
        file, start, length = place
        if file not in self.opened:
            if len(self.opened) >= _OPEN:
                os.close(self.opened.pop(next(iter(self.opened))))
            self.opened[file] = os.open(file, os.O_RDONLY)
        return os.pread(self.opened[file], length, start)

    def close(self) -> None:
        for descriptor in self.opened.values():
            os.close(descriptor)
        self.opened.clear()


_OPEN = 200
"""Every system lets a process open 256 files."""


@contextmanager
def _telling(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{error.strerror or error}: the replies in {folder} could not be {what}") from None
