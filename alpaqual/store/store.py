"""`.alpaqual/` of a project: results of stages by fingerprint, the ledger of replies, digests of files.

A result is a folder of immutable files. Its seal is written last, and a folder without a seal is not a result. The folder is
made under a temporary name and renamed, so that a killed process leaves nothing that looks finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alpaqual.disk import flush
from alpaqual.errors import StoreError

SEAL = "seal.json"
IGNORE = "# Stage results can be recomputed from the data; commit the recorded replies (replies/).\nstore/\nreplies/batches/\n"
"""The text of `.alpaqual/.gitignore`."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Result:
    """The stored result of a stage."""

    folder: Path
    fingerprint: str
    facts: Mapping[str, Any]
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def finished(self) -> bool:
        """A stored result is complete: a stage without one has no seal."""
        return True

    @property
    def error(self) -> None:
        """A stage that fails stores no result."""
        return None

    def table(self, table: str) -> Path:
        """The Parquet file of one of its tables."""
        return self.folder / f"{table}.parquet"


def project_folder(recipe_file: Path) -> Path:
    """The nearest folder up from the recipe that has a `.git`, else the recipe's own.

    For a recipe inside the installed package the search starts at the current directory.
    """
    start = recipe_file.resolve().parent
    if start.is_relative_to(Path(__file__).resolve().parents[1]):
        start = Path.cwd()
    return next((folder for folder in (start, *start.parents) if (folder / ".git").exists()), start)


class Store:
    """The results, replies and digests of one project."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.root = project / ".alpaqual"
        self.results = self.root / "store"
        self.replies = self.root / "replies"
        self.unfinished = self.results / "unfinished"
        self.claims = self.results / "asked.lock"
        self.budgets = self.results / "budgets"

    def find(self, fingerprint: str) -> Result | None:
        """The result of this fingerprint, if there is one.

        Raises StoreError where a seal cannot be read or names a file that is gone.
        """
        folder = self.results / fingerprint[:2] / fingerprint
        try:
            seal = json.loads((folder / SEAL).read_text(encoding="utf-8"))
            broken = next(
                (name for name, size in seal["files"].items() if (folder / name).stat().st_size != size), None
            )
        except FileNotFoundError as error:
            if not (folder / SEAL).exists():
                return None
            broken = Path(str(error.filename)).name
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            broken = SEAL
        if broken is None and not all(isinstance(seal.get(part), dict) for part in ("facts", "settings", "inputs")):
            broken = SEAL
        if broken is not None:
            raise StoreError(f"the stored result {folder} is damaged ({broken}); delete that folder and run again")
        return Result(folder, fingerprint, seal["facts"], seal["settings"], seal["inputs"])

    def unfinished_folder(self) -> Path:
        """A new name for a folder of this process; the next run deletes the folder if this one is killed."""
        return self.unfinished / f"{os.getpid()}-{uuid.uuid4().hex}"

    def _start(self) -> None:
        """Tell git to ignore the store when it is first made; a file that is there is kept."""
        ignore = self.root / ".gitignore"
        if not self.results.exists() and not ignore.exists():
            write_whole(ignore, IGNORE)

    @contextmanager
    def making(self) -> Iterator[Path]:
        """Yield a new folder for a result; delete it at the end, if it was not sealed."""
        folder = self.unfinished_folder()
        self._start()
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def seal(
        self,
        folder: Path,
        fingerprint: str,
        facts: Mapping[str, Any],
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
    ) -> Result:
        """Make a folder a result: flush its files, write the seal, rename the folder."""
        files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
        for name in files:
            flush(folder / name)
            # The run folder has hard links to these files: read-only, so that an editor asks before it changes one.
            (folder / name).chmod(0o444)
        seal = {
            "fingerprint": fingerprint,
            "files": files,
            "facts": facts,
            "settings": settings,
            "inputs": inputs,
        }
        (folder / SEAL).write_text(json.dumps(seal, ensure_ascii=False, indent=1, sort_keys=True), encoding="utf-8")
        flush(folder / SEAL)
        target = self.results / fingerprint[:2] / fingerprint
        target.parent.mkdir(parents=True, exist_ok=True)
        # Another process may have made the same result meanwhile. It has the same rows, so it is kept.
        with contextlib.suppress(OSError):
            folder.rename(target)
        result = self.find(fingerprint)
        if result is None:
            raise StoreError(
                f"the result could not be put into {target}; delete that folder if it is there and run again, "
                "or make the one above it writable"
            )
        return result

    def clear_unfinished(self) -> None:
        """Delete unfinished folders of processes that have ended."""
        if not self.unfinished.is_dir():
            return
        for left in self.unfinished.iterdir():
            if not is_alive(left.name.partition("-")[0]):
                shutil.rmtree(left, ignore_errors=True)
                with contextlib.suppress(OSError):
                    left.unlink()

    def digest(self, path: Path) -> str:
        """sha256 of a file's bytes; cached until the size or the modification time of the file changes."""
        status = path.stat()
        known = (
            self.results
            / "digests"
            / hashlib.sha256(
                f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}".encode()
            ).hexdigest()
        )
        with contextlib.suppress(OSError, ValueError):
            text = known.read_text(encoding="ascii").strip()
            if len(bytes.fromhex(text)) == 32:
                return text
        sha = hashlib.sha256()
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                sha.update(chunk)
        self._start()
        known.parent.mkdir(parents=True, exist_ok=True)
        write_whole(known, sha.hexdigest())
        return sha.hexdigest()


def write_whole(path: Path, text: str) -> None:
    """Write a text file atomically: under a temporary name, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def place_file(source: Path, target: Path) -> None:
    """Put a stored file at `target`: a hard link where the file system has them, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        if target.samefile(source):
            return
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:
        shutil.copyfile(source, temporary)
    temporary.replace(target)


def clear_partial_files(folder: Path) -> None:
    """Delete temporary files of `write_whole` and `place_file` whose processes have ended."""
    for left in folder.glob(".*.*") if folder.is_dir() else ():
        name, _, process = left.name[1:].rpartition(".")
        if process.isdigit() and name.endswith(_OURS) and not is_alive(process):
            left.unlink(missing_ok=True)


_OURS = (".json", ".jsonl", ".parquet", ".arrow", ".md", ".html", ".xml", ".sql")


def is_alive(process: str) -> bool:
    """Whether a process runs here, by its id as text."""
    try:
        os.kill(int(process), 0)
    except (ValueError, OverflowError):
        return False
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
