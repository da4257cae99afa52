"""Rewrites the files of a ledger: into one file (compact), without named replies (prune), or as one file elsewhere (export).

A process that is killed at any moment leaves every reply in at least one complete file: a new file is flushed and renamed
before the old one is deleted. A file that a process writes is read, and not changed.
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
from alpaqual.store.ledger import entry, entry_of, short_key
from alpaqual.store.locking import exclusive_lock, lock_unwritten, shared_lock
from alpaqual.store.replies import Line, Totals, check_models, files_of, is_torn, lines_of, refusal
from alpaqual.store.store import clear_partial_files

COMPACTED = "00-compacted.jsonl"
"""Sorts before the files of runs, whose names begin with a year, so that the same replies are first."""

_Place = tuple[Path, int, int]
"""Position of a line: file, first byte, length in bytes."""


@dataclass(frozen=True)
class Compacted:
    """Result of `compact`: files before, files merged, replies in the new file, and what was left out."""

    files: int
    merged: int
    replies: int
    duplicates: int
    torn: int
    written: tuple[str, ...]


@dataclass(frozen=True)
class Named:
    """Replies that `prune` is to delete; `held` of them are in files that a process writes, and are kept."""

    sums: Totals
    held: int


def compact(folder: Path) -> Compacted:
    """Merge the files of a ledger into one with one entry per key (the first), sorted by key.

    `Ledger` reads the same replies from the folder before, during and after. Raises StoreError, with file:line, at a line
    that is not an entry, and where files cannot be locked or written: no reply is lost.
    """
    if not folder.is_dir():
        return Compacted(0, 0, 0, 0, 0, ())
    with _explain_errors(folder, "compacted; no reply was lost"), exclusive_lock(folder):
        clear_partial_files(folder)
        files = files_of(folder)
        sizes = _sizes(files)
        idle = {file: size for file, size in sizes.items() if size is not None}
        written = [file for file, size in sizes.items() if size is None]
        places, duplicates, torn = _first_lines(files, set(idle))
        # A reply whose first entry is in a running process's file counts there: flush it before its copy is deleted.
        for file in written:
            flush(file)
        merged = folder / COMPACTED
        if places:
            _write(merged, places)
        for file, size in idle.items():
            if file != merged or not places:
                _if_unwritten(file, size, file.unlink)
        flush(folder)
    return Compacted(len(files), len(idle), len(places), duplicates, torn, tuple(file.name for file in written))


def find_named(folder: Path, models: Collection[str], keys: Collection[str]) -> Named:
    """The replies of these models and keys, duplicates included, with their number and cost.

    Raises RecipeError where nothing is named, or a name is unknown; StoreError at a line that is not an entry.
    """
    with shared_lock(folder):
        files = files_of(folder)
        held = {file for file, size in _sizes(files).items() if size is None}
        return _named(folder, files, held, models, keys)


def prune(folder: Path, models: Collection[str], keys: Collection[str], shown: Named | None = None) -> Named:
    """Delete the replies of these models and keys; `shown` is what the user confirmed.

    Raises RecipeError where nothing is named, or a name is unknown; StoreError where the replies differ from those shown, at
    a line that is not an entry, and where files cannot be locked or written.
    """
    if not folder.is_dir():
        check_models(folder, models, ())
    with _explain_errors(folder, "pruned; no other reply was deleted"), exclusive_lock(folder):
        clear_partial_files(folder)
        files = files_of(folder)
        sizes = _sizes(files)
        found = _named(folder, files, {file for file, size in sizes.items() if size is None}, models, keys)
        if shown is not None and found != shown:
            raise StoreError(f"the replies in {folder} changed meanwhile; nothing was deleted, rerun the command")
        held = found.held
        for file, size in sizes.items():
            if size is not None:
                named = [(line.start, line.length) for line in lines_of(file) if _is_named(line, models, keys)]
                if named and not _without(file, size, named):
                    held += len(named)
        flush(folder)
    return Named(found.sums, held)


def export_replies(folder: Path, target: Path, models: Collection[str] = ()) -> Totals:
    """Write the first reply to each key, of these models or of all, as one file for `recorded/FILE`.

    Its bytes depend on the replies alone: one line each, sorted by key. Raises RecipeError where there is nothing to write
    or `target` cannot take it; StoreError.
    """
    _check_target(folder, target)
    sums = Totals()
    places: dict[bytes, _Place | None] = {}
    known: set[str] = set()
    with _explain_errors(folder, f"exported to {target}"), shared_lock(folder):
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
        raise refusal(target, "is in the ledger itself, which would then hold every reply twice; name a file elsewhere")
    if not target.exists():
        return
    try:
        end = max((line.start + line.length for line in lines_of(target)), default=0)
        foreign = not end and is_torn(target, 0)
    except StoreError:
        foreign = True
    if foreign:
        raise refusal(target, "exists and is not a file of replies; it was not changed")


def _named(
    folder: Path, files: Sequence[Path], held: set[Path], models: Collection[str], keys: Collection[str]
) -> Named:
    sums, known, missing, staying = Totals(), set(), set(keys), 0
    for line in _every_line(files):
        known.add(line.reply.model)
        missing.discard(line.key)
        if _is_named(line, models, keys):
            sums.add(line.reply)
            staying += line.file in held
    if known and not models and not keys:
        models_there = ", ".join(sorted(known))
        raise refusal(
            folder, f"nothing was named, so nothing is deleted; name --model (there are: {models_there}) or --key"
        )
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
        with lock_unwritten(file) as size:
            sizes[file] = size
    return sizes


def _first_lines(files: Sequence[Path], idle: set[Path]) -> tuple[dict[bytes, _Place], int, int]:
    """Position of each key's first line, where it is in an idle file; number of other lines in idle files; torn files."""
    places: dict[bytes, _Place | None] = {}
    duplicates = torn = 0
    for file in files:
        end = 0
        for line in lines_of(file):
            short = short_key(line.key)
            duplicates += short in places and file in idle
            places.setdefault(short, _place(line) if file in idle else None)
            end = line.start + line.length
        torn += file in idle and is_torn(file, end)
    return {short: place for short, place in places.items() if place}, duplicates, torn


def _write(target: Path, places: dict[bytes, _Place], form: Callable[[bytes], bytes] | None = None) -> None:
    """Write these lines, sorted by key, as one file, atomically."""
    with contextlib.closing(_Lines()) as lines, _part(target) as part:
        _fill(part, ((form or _verbatim)(lines.read(places[short])) for short in sorted(places)))
        part.replace(target)
        flush(target.parent)


def _without(file: Path, size: int, named: Sequence[tuple[int, int]]) -> bool:
    """Write a file without the lines at these (start, length), all else byte for byte; False where a process writes it."""
    with _part(file) as part:
        _fill(part, _around(file, named))
        part.chmod(file.stat().st_mode & 0o777)
        return _if_unwritten(file, size, lambda: part.replace(file) if part.stat().st_size else file.unlink())


def _around(file: Path, named: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    with file.open("rb") as stream:
        for start, length in named:
            yield stream.read(start - stream.tell())
            stream.seek(length, os.SEEK_CUR)
        yield stream.read()


def _if_unwritten(file: Path, size: int, action: Callable[[], object]) -> bool:
    """Call `action` if the file is idle and still has this size: one that grew has a reply that was not read."""
    with lock_unwritten(file) as now:
        if now == size:
            action()
        return now == size


def _fill(part: Path, pieces: Iterable[bytes]) -> None:
    with part.open("wb") as stream:
        stream.writelines(pieces)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """A temporary name for a file, which no ledger reads; deleted at the end if it still exists."""
    part = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _verbatim(line: bytes) -> bytes:
    """A line unchanged, unknown fields included, with a line end; JSON in another encoding is re-encoded."""
    text = line.strip()
    return text + b"\n" if text.startswith(b"{") and b"\0" not in text else _canonical(line)


def _canonical(line: bytes) -> bytes:
    """A line as `Ledger` would write it; unknown fields come last, sorted by name."""
    value = json.loads(line)
    known = json.loads(entry(*entry_of(value)))
    unknown = {name: value[name] for name in sorted(value) if name not in known and value[name] is not None}
    text = json.dumps(known | unknown, ensure_ascii=False)
    # A lone surrogate, which JSON can spell and UTF-8 cannot, becomes a question mark.
    return f"{text}\n".encode("utf-8", "replace")


class _Lines:
    """Reads lines of many files in any order, with a limited number of open files."""

    def __init__(self) -> None:
        self.opened: dict[Path, int] = {}

    def read(self, place: _Place) -> bytes:
        """The bytes of a line. Raises OSError."""
        file, start, length = place
        if file not in self.opened:
            if len(self.opened) >= _MAX_OPEN:
                os.close(self.opened.pop(next(iter(self.opened))))
            self.opened[file] = os.open(file, os.O_RDONLY)
        return os.pread(self.opened[file], length, start)

    def close(self) -> None:
        for descriptor in self.opened.values():
            os.close(descriptor)
        self.opened.clear()


_MAX_OPEN = 200
"""Every system allows a process 256 open files."""


@contextmanager
def _explain_errors(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{error.strerror or error}: the replies in {folder} could not be {what}") from None
