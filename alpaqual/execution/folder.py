"""The run folder: files of stored results under their public names, the texts beside them, and a list of what runs made.

A run replaces and removes only files that a run made. The list is in a marker file; it is written before the files are.

A finished run stays as it is until the next one is finished: a run prepares its files in a folder of its own inside the run
folder (`alpaqual.execution.swap`), and they take their places at its end. A run that failed or was stopped early leaves its files
in `unfinished/`, where the folder has a finished run.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from alpaqual import job_folder
from alpaqual.errors import Problem, RecipeError, StageError
from alpaqual.execution.swap import Swap, finish_swap, finish_swaps, is_inside, new_swap_folder
from alpaqual.plan.stage import fingerprint
from alpaqual.recipe.recipe import Recipe
from alpaqual.results.file import RESULTS, read_results, results_text
from alpaqual.results.results import Results
from alpaqual.store.locking import waiting_lock
from alpaqual.store.store import clear_partial_files, place_file, write_whole
from alpaqual.values import State

MARKER = ".alpaqual-run.json"
STAGES = "stages.json"
TABLES = "tables"
DATASETS = "datasets"
EXPORTS = "exports"
UNFINISHED = "unfinished"
"""Where a run that did not finish leaves its files, beside a finished run."""
_TRAINING = "training"
_VERSION = 1
_SHOWN = 40
"""How many characters of the overrides the name of a run folder shows."""
_TABLES_BEFORE = ("rows", "quarantine", "failures", "members", "grades", "fates")
"""Tables of run folders from before there was a marker."""
_REPORTS_BEFORE = ("report.md", "report.html", "junit.xml")
"""Their reports."""


def run_name(recipe: Recipe) -> str:
    """The name of the default run folder: the recipe's, and after `@` what `--set` changes of it.

    The same overrides in any order have the same name. `--set name=…` by itself is a name already.
    """
    changed = {path: value for path, value in recipe.overrides.items() if path != ("name",)}
    if not changed:
        return recipe.name
    words = " ".join(f"{path[-1]} {value}" for path, value in changed.items())
    shown = re.sub(r"[^A-Za-z0-9.]+", "-", words)[:_SHOWN].strip("-.")
    return f"{recipe.name}@{shown}-{fingerprint([[list(path), value] for path, value in changed.items()])[:8]}"


def is_finished(results: Results) -> bool:
    """Whether a run reached its end: no stage failed, and none was left out."""
    stopped = any(reason.state is State.INCOMPLETE for reason in results.reasons)
    return results.verdict is not State.ERROR and not stopped


class RunFolder:
    """A folder that runs write into. `made` has the paths, relative to it, of the files that runs made.

    `write` and `place` prepare files; `commit` puts them in their places.
    """

    def __init__(self, path: Path, made: Iterable[str]) -> None:
        self.path = path
        self.made = set(made)
        self._prepared: dict[str, Path] = {}
        self._renamed: list[tuple[str, str]] = []
        self._swap = new_swap_folder(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run folder at a path: a new or empty folder, or one that a run made.

        Raises RecipeError where the folder holds other files, StageError where a training job reads its data.
        """
        if path.is_symlink() and not path.exists():
            raise _refused(
                path,
                f"is a link to {path.readlink()}, which is not there: make that folder, or name another one with --out",
            )
        if path.exists() and not path.is_dir():
            raise _refused(path, "is not a folder: name another one with --out")
        recover(path)
        made = _made_in(path)
        if made is None and any(not each.is_dir() for each in path.rglob("*")):
            raise _refused(path, "is not empty and no run made it: name another folder with --out, or empty this one")
        if busy := _training_jobs(path):
            raise StageError(
                f"a job is training on {', '.join(busy)} in {path}: its data stays as it is until the job has ended; "
                "run again then, or give this run a folder of its own with --out"
            )
        for folder in {(path / name).parent for name in made or ()}:
            clear_partial_files(folder)
        return cls(path, made or ())

    @property
    def has_finished_run(self) -> bool:
        """Whether the folder has the results of a finished run."""
        with contextlib.suppress(RecipeError):
            return is_finished(read_results(self.path))
        return False

    @property
    def preparing(self) -> Path:
        """The folder that has the prepared files."""
        return self._swap

    def write(self, name: str, text: str, mode: int = 0o644) -> None:
        """Prepare a text file of the run. Raises StageError where a file of that name is not a run's."""
        self._check(name)
        self._mark()
        write_whole(self._swap / name, text)
        (self._swap / name).chmod(mode)
        self._prepared[name] = self._swap / name

    def place(self, stored: Path, name: str) -> None:
        """Prepare a stored file under a name of the run. Raises StageError where a file of that name is not a run's."""
        self._check(name)
        self._mark()
        place_file(stored, self._swap / name)
        self._prepared[name] = stored

    def keep(self, made: Path, name: str) -> None:
        """Prepare a file that the store does not have: it is moved to a name of the run. Raises StageError as `write` does."""
        self._check(name)
        self._mark()
        target = self._swap / name
        target.parent.mkdir(parents=True, exist_ok=True)
        made.replace(target)
        self._prepared[name] = target

    def prepared(self, name: str) -> Path:
        """The file that will be under a name of the run: the stored file itself, where one is placed."""
        return self._prepared.get(name, self._swap / name)

    def write_job(self, name: str, text: str, mode: int = 0o644) -> None:
        """Write a text file of a training job, in its place at once. Raises StageError where a file of that name is not a run's."""
        self._claim([name])
        write_whole(self.path / name, text)
        (self.path / name).chmod(mode)

    def place_job_data(self, stored: Path, name: str) -> None:
        """Put a stored file in the folder of a training job. Raises StageError where a file of that name is not a run's."""
        self._claim([name])
        place_file(stored, self.path / name)

    def rename(self, source: str, target: str) -> None:
        """Rename a folder of a job when the run is finished."""
        self.moved(source, target)
        self._renamed.append((source, target))

    def moved(self, source: str, target: str) -> None:
        """Note that the files of a folder are a run's under another name too."""
        self._note(target + name.removeprefix(source) for name in self.made if name.startswith(f"{source}/"))

    def commit(self, results: Results) -> Path:
        """Put the prepared files in their places, `results.json` last. Returns the folder that has them.

        That is the run folder, or `unfinished/` in it where the run did not finish and an earlier one did.
        """
        self.write(RESULTS, results_text(results))
        with waiting_lock(self.path):
            finish_swaps(self.path)
            finished = is_finished(results)
            below = "" if finished or not self.has_finished_run else f"{UNFINISHED}/"
            # Paths in exports are relative to the run folder.
            files = [name for name in self._prepared if not (below and name.startswith(f"{EXPORTS}/"))]
            self._claim(f"{below}{name}" for name in files)
            stale = self.made - {f"{below}{name}" for name in files}
            stale = {name for name in stale if _belongs(name, below) or (finished and _belongs(name, f"{UNFINISHED}/"))}
            renamed = self._renamed if finished else []
            Swap(below=below, files=files, stale=sorted(stale), renamed=renamed).write(self._swap)
            finish_swap(self.path, self._swap)
        return self.path / below

    def discard(self) -> None:
        """Delete what was prepared, where it was not committed."""
        self._prepared.clear()
        self._renamed.clear()
        if not Swap.is_in(self._swap):
            shutil.rmtree(self._swap, ignore_errors=True)

    def _check(self, name: str) -> None:
        """Raises StageError where a file of that name is there and no run made it."""
        if name not in self.made and (self.path / name).exists():
            self.made |= _made_in(self.path) or set()
            if name not in self.made:
                raise StageError(f"{self.path / name} is there and no run made it: move it away and run again")

    def _claim(self, names: Iterable[str]) -> None:
        """Note files as a run's before they are there."""
        new = [name for name in names if name not in self.made]
        for name in new:
            self._check(name)
        self._note(new)

    def _note(self, names: Iterable[str]) -> None:
        new = set(names) - self.made
        self.made |= (_made_in(self.path) or set()) | new
        if new:
            self._write_marker()

    def _mark(self) -> None:
        """Make the folder a run's, before it has a file: also for a run that starts while this one is at work."""
        if not (self.path / MARKER).exists():
            self._write_marker()

    def _write_marker(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        marker = {"version": _VERSION, "files": sorted(self.made)}
        write_whole(self.path / MARKER, json.dumps(marker, indent=1) + "\n")


def recover(path: Path) -> None:
    """Finish what a killed run was putting in its places in a run folder, and delete what one prepared in vain.

    Raises RecipeError where a newer alpaqual made the folder.
    """
    if not path.is_dir():
        return
    check_marker(path)
    with contextlib.suppress(OSError), waiting_lock(path):
        finish_swaps(path)


def check_marker(path: Path) -> None:
    """Raise RecipeError where the marker of a run folder is of a newer alpaqual."""
    marker = job_folder.read_json(path / MARKER) if (path / MARKER).exists() else None
    version = (marker or {}).get("version")
    if isinstance(version, int) and version > _VERSION:
        raise _refused(
            path / MARKER,
            f"was written by a newer alpaqual (run folder version {version}, this one reads {_VERSION}): "
            "install that version: pip install --upgrade alpaqual; or name another folder",
        )


def _belongs(name: str, below: str) -> bool:
    """Whether a file is one that a commit to the folder `below` replaces; jobs keep theirs."""
    first = name.removeprefix(below).split("/")[0]
    return name.startswith(below) and first not in (_TRAINING, UNFINISHED)


def _made_in(path: Path) -> set[str] | None:
    """The files that runs made in a folder; None where no run made it."""
    if not (path / MARKER).exists():
        return _made_before_markers(path)
    marker = job_folder.read_json(path / MARKER)
    if marker is None or not isinstance(marker.get("files"), list):
        raise _refused(path / MARKER, "cannot be read: it lists what runs made here; name another folder with --out")
    return {name for name in marker["files"] if isinstance(name, str) and is_inside(name)}


def _made_before_markers(path: Path) -> set[str] | None:
    """The files of a run folder of an earlier version, which has a record of its stages or results and no marker."""
    stages, results = job_folder.read_json(path / STAGES), job_folder.read_json(path / RESULTS)
    if results is not None and not ({"version", "verdict", "recipe"} <= results.keys()):
        return None
    if results is None and (stages is None or "loading" not in stages):
        return None
    datasets = {name.partition(".")[2] for name in stages or () if name.startswith("selecting.")}
    found = (results or {}).get("datasets")
    datasets |= set(found) if isinstance(found, dict) else set()
    made = {RESULTS, STAGES, "plan.sql", *_REPORTS_BEFORE}
    made |= {f"{TABLES}/{table}.parquet" for table in _TABLES_BEFORE}
    made |= {f"{DATASETS}/{dataset}.jsonl" for dataset in datasets}
    for folder in (path / _TRAINING, path / EXPORTS):
        made |= {str(file.relative_to(path)) for file in folder.rglob("*") if file.is_file()}
    return {name for name in made if is_inside(name)}


def _training_jobs(path: Path) -> list[str]:
    """The datasets of a run folder that a training job reads now."""
    with contextlib.suppress(OSError):
        jobs = [*(path / _TRAINING).iterdir(), *(path / _TRAINING / "earlier").glob("*")]
        return sorted(job.name for job in jobs if job_folder.is_locked(job))
    return []


def _refused(path: Path, why: str) -> RecipeError:
    return RecipeError([Problem(str(path), 0, 0, why)])
