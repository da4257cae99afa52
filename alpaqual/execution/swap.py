"""Puts the files of a run in their places, so that a process killed at any moment leaves the old run or the new one.

A run prepares its files in a folder `.next-<process>-<number>` of the run folder. Then it writes there what is to be done: from
that moment the swap is decided. Whichever process opens the run folder next finishes a decided swap of a killed one, and deletes
what was not decided. While files move there is no `results.json`, so that nothing reads half of each run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from pathlib import Path

import msgspec

from alpaqual.errors import StageError
from alpaqual.results.file import RESULTS
from alpaqual.store.store import is_alive, write_whole

_PREFIX = ".next-"
_DECIDED = "swap.json"


def is_inside(name: str) -> bool:
    """Whether a name stays in its folder: lists of names may come from elsewhere."""
    parts = Path(name).parts
    return bool(parts) and not Path(name).is_absolute() and ".." not in parts


def new_swap_folder(run: Path) -> Path:
    """A new name for the folder in which this process prepares files of a run."""
    return run / f"{_PREFIX}{os.getpid()}-{uuid.uuid4().hex[:12]}"


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done: `files` move into the folder `below` the run folder, `stale` files go, jobs are renamed."""

    below: str
    files: list[str]
    stale: list[str]
    renamed: list[tuple[str, str]]

    def write(self, folder: Path) -> None:
        """Decide the swap of a folder."""
        write_whole(folder / _DECIDED, msgspec.json.encode(self).decode())

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether the swap of a folder is decided."""
        return (folder / _DECIDED).is_file()


def finish_swaps(run: Path) -> None:
    """Finish decided swaps of killed processes in a run folder, and delete what others prepared. Needs the folder's lock."""
    for folder in sorted(run.glob(f"{_PREFIX}*")):
        process = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if Swap.is_in(folder):
            # The process that decided it held the lock until it was done: it has ended.
            finish_swap(run, folder)
        elif not is_alive(process):
            shutil.rmtree(folder, ignore_errors=True)


def finish_swap(run: Path, folder: Path) -> None:
    """Do what the swap of a folder decided; a part that is done already is passed over. Needs the run folder's lock."""
    swap = _read(folder)
    target = run / swap.below
    if (folder / RESULTS).exists():
        target.mkdir(exist_ok=True)
        (target / RESULTS).unlink(missing_ok=True)
    for source, renamed in swap.renamed:
        if (run / source).exists() and not (run / renamed).exists():
            (run / renamed).parent.mkdir(parents=True, exist_ok=True)
            (run / source).rename(run / renamed)
    for name in swap.files:
        if name != RESULTS and (folder / name).exists():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).replace(target / name)
    for name in swap.stale:
        (run / name).unlink(missing_ok=True)
    _remove_empty_folders(run, swap.stale)
    if (folder / RESULTS).exists():
        (folder / RESULTS).replace(target / RESULTS)
    shutil.rmtree(folder)


def _read(folder: Path) -> Swap:
    """What the swap of a folder decided. Raises StageError where that is not what a run wrote: the folder may come from elsewhere."""
    with contextlib.suppress(msgspec.DecodeError):
        swap = msgspec.json.decode((folder / _DECIDED).read_bytes(), type=Swap)
        names = [
            *swap.files,
            *swap.stale,
            *(name for pair in swap.renamed for name in pair),
            *filter(None, [swap.below]),
        ]
        if all(is_inside(name) for name in names):
            return swap
    raise StageError(f"{folder / _DECIDED} is no list of files of a run: delete {folder} and run again")


def _remove_empty_folders(run: Path, names: list[str]) -> None:
    """Delete folders of deleted files that hold nothing now, deepest first."""
    parents = {parent for name in names for parent in Path(name).parents if parent != Path()}
    for parent in sorted(parents, key=lambda parent: -len(parent.parts)):
        if (run / parent).is_dir() and not any((run / parent).iterdir()):
            (run / parent).rmdir()
