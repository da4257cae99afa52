"""The run folder: files of stored results under their public names, the texts beside them, and a list of what runs made.

A run replaces and removes only files that a run made. The list is in a marker file; it is written before the files are.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from alpaqual import job_folder
from alpaqual.errors import Problem, RecipeError, StageError
from alpaqual.results.file import RESULTS, results_text
from alpaqual.results.results import Results
from alpaqual.store.store import clear_partial_files, place_file, write_whole

MARKER = ".alpaqual-run.json"
STAGES = "stages.json"
TABLES = "tables"
DATASETS = "datasets"
_VERSION = 1
_TABLES_BEFORE = ("rows", "quarantine", "failures", "members", "grades", "fates")
"""Tables of run folders from before there was a marker."""
_REPORTS_BEFORE = ("report.md", "report.html", "junit.xml")
"""Their reports."""


class RunFolder:
    """A folder that runs write into. `made` has the paths, relative to it, of the files that runs made."""

    def __init__(self, path: Path, made: Iterable[str]) -> None:
        self.path = path
        self.made = set(made)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """The run folder at a path: a new or empty folder, or one that a run made.

        Raises RecipeError where the folder holds other files, StageError where a training job reads its data.
        """
        if path.exists() and not path.is_dir():
            raise _refused(path, "is not a folder: name another one with --out")
        made = _made_in(path)
        if made is None and any(not each.is_dir() for each in path.rglob("*")):
            raise _refused(path, "is not empty and no run made it: name another folder with --out, or empty this one")
        if busy := _training_jobs(path):
            raise StageError(
                f"a job is training on {', '.join(busy)} in {path}: its data stays as it is until the job has ended; "
                "run again then, or give this run a folder of its own with --out"
            )
        return cls(path, made or ())

    def write(self, name: str, text: str) -> None:
        """Write a text file of the run. Raises StageError where a file of that name is not a run's."""
        self._claim(name)
        write_whole(self.path / name, text)

    def place(self, stored: Path, name: str) -> None:
        """Put a stored file under a name of the run. Raises StageError where a file of that name is not a run's."""
        self._claim(name)
        place_file(stored, self.path / name)

    def remove(self, *names: str) -> None:
        """Delete files that runs made."""
        for name in names:
            if name in self.made:
                (self.path / name).unlink(missing_ok=True)

    def remove_reports(self, reports: Iterable[str]) -> None:
        """Delete the results and reports of the last run before a new one starts; `reports` are names of files."""
        self.remove(RESULTS, *reports)
        for folder in {(self.path / name).parent for name in self.made}:
            clear_partial_files(folder)

    def remove_data(self, keep: Iterable[str] = ()) -> None:
        """Delete the tables and datasets of earlier runs but those to keep; the store has all of them."""
        kept = set(keep)
        self.remove(*(name for name in self.made if name.split("/")[0] in (TABLES, DATASETS) and name not in kept))

    def write_results(self, results: Results) -> None:
        """Write `results.json`."""
        self.write(RESULTS, results_text(results))

    def _claim(self, name: str) -> None:
        """Note a file as a run's before it is there."""
        if name in self.made:
            return
        self.made |= _made_in(self.path) or set()
        if name not in self.made and (self.path / name).exists():
            raise StageError(f"{self.path / name} is there and no run made it: move it away and run again")
        self.made.add(name)
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.path / MARKER, json.dumps({"version": _VERSION, "files": sorted(self.made)}, indent=1) + "\n")


def _made_in(path: Path) -> set[str] | None:
    """The files that runs made in a folder; None where no run made it."""
    if not (path / MARKER).exists():
        return _made_before_markers(path)
    marker = job_folder.read_json(path / MARKER)
    if marker is None or not isinstance(marker.get("files"), list):
        raise _refused(path / MARKER, "cannot be read: it lists what runs made here; name another folder with --out")
    return {name for name in marker["files"] if isinstance(name, str) and _is_inside(name)}


def _is_inside(name: str) -> bool:
    """Whether a name of a marker or of results stays in its folder: they may come from elsewhere."""
    parts = Path(name).parts
    return bool(parts) and not Path(name).is_absolute() and ".." not in parts


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
    for folder in (path / "training", path / "exports"):
        made |= {str(file.relative_to(path)) for file in folder.rglob("*") if file.is_file()}
    return {name for name in made if _is_inside(name)}


def _training_jobs(path: Path) -> list[str]:
    """The datasets of a run folder that a training job reads now."""
    with contextlib.suppress(OSError):
        return sorted(job.name for job in (path / "training").iterdir() if job_folder.is_locked(job))
    return []


def _refused(path: Path, why: str) -> RecipeError:
    return RecipeError([Problem(str(path), 0, 0, why)])
