"""Whole processes, timed: wall clock, CPU of the process and its children, peak memory; and the tables that are printed.

Not a script: middling.py, large.py and startup.py measure with it. The standard library alone, so that this process stays
small: on Linux a child's peak memory starts at that of the process that started it.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MIB = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SAMPLED_EVERY = 0.05


@dataclass(frozen=True)
class Sample:
    """One process: seconds by the clock, seconds of CPU (user and system), peak resident MiB."""

    wall: float
    cpu: float
    rss: float


@dataclass
class Contender:
    """One way to do a job: `prepare` makes its folder ready, then `command` runs in it and writes `output`."""

    name: str
    job: str
    command: Callable[[Path], Sequence[str | Path]]
    output: str = "out.jsonl"
    prepare: Callable[[Path], None] = lambda folder: None
    environment: Mapping[str, str] = field(default_factory=dict)
    tree: bool = False
    """Several processes at once: their memory is sampled and summed."""
    keep_folder: bool = False
    """Runs in what the last round left, instead of an empty folder."""
    folder: str = ""
    """Shares the folder of this name with another contender."""
    missing: str = ""
    """Why it cannot run here."""
    samples: list[Sample] = field(default_factory=list)
    rows: int | None = None
    digest: str = ""

    def median(self, what: str = "wall") -> float:
        """The median of a measure over the rounds."""
        return statistics.median(getattr(sample, what) for sample in self.samples)


def say(text: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def progress(text: str) -> None:
    """A line of progress, apart from the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def alpaqual_environment() -> dict[str, str]:
    """alpaqual is taken from PYTHONPATH where it is set, from this checkout otherwise."""
    return {"PYTHONPATH": os.environ.get("PYTHONPATH") or str(REPOSITORY)}


def measure_contender(contender: Contender, place: Path) -> Sample:
    """Run a contender once, in an empty folder that it has prepared or, with `keep_folder`, in what the last round left."""
    if not contender.keep_folder:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        contender.prepare(place)
    return measure(contender.command(place), place, contender.environment, tree=contender.tree)


def measure(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None, *, tree: bool = False
) -> Sample:
    """Run a command to its end; what it says goes to a file beside its folder.

    Raises SystemExit where it fails, with the end of what it said.
    """
    log = folder.with_name(f"{folder.name}.log")
    # All contenders keep compiled modules, as installed packages do: the warm-up writes them.
    inherited = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    # Alone, its exact peak is in its resource usage; with children, memory is the largest sum that was seen.
    with log.open("wb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env={**inherited, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        sampling = _Sampling(process.pid) if tree else None
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _end(process.pid)
            raise
        wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    seen = sampling.end() if sampling else 0.0
    if process.returncode != 0:
        said = log.read_text(encoding="utf-8", errors="replace")[-3000:]
        raise SystemExit(f"{' '.join(map(str, command))}\nended with {process.returncode}:\n{said}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, max(seen, usage.ru_maxrss / 1024))


class _Sampling:
    """The sum of the resident memory of a process and all its descendants, looked at again and again."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.peak = 0.0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()

    def end(self) -> float:
        self.ended.set()
        self.thread.join()
        return self.peak

    def _sample(self) -> None:
        while not self.ended.wait(_SAMPLED_EVERY):
            self.peak = max(self.peak, sum(_resident(process) for process in _tree(self.root)))


def _tree(root: int) -> list[int]:
    found = [root]
    for process in found:
        with suppress(OSError):
            for task in Path(f"/proc/{process}/task").iterdir():
                with suppress(OSError):
                    found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _end(root: int) -> None:
    """End a process and its descendants, when this one is interrupted."""
    for process in _tree(root):
        with suppress(OSError):
            os.kill(process, signal.SIGKILL)


def _resident(process: int) -> float:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE / MIB
    except (OSError, IndexError):
        return 0.0


def installed(python: Path | None, *packages: str) -> dict[str, str]:
    """The versions of the packages that an interpreter has."""
    if python is None:
        return {}
    program = (
        "import importlib.metadata as m, json, sys\n"
        "found = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = m.version(name)\n"
        "    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([str(python), "-c", program, *packages], capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


def kept_rows(path: Path) -> tuple[int, str]:
    """How many rows a JSON Lines file has, and a digest of their texts whatever their order and other columns."""
    rows, total = 0, 0
    with path.open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            texts = json.dumps([row["instruction"], row["input"] or "", row["output"]])
            total += int.from_bytes(hashlib.md5(texts.encode()).digest(), "big")
            rows += 1
    return rows, f"{total % (1 << 128):032x}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [heads, [":--", *["--:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def spread(contender: Contender) -> str:
    """Median and range of the seconds by the clock."""
    walls = [sample.wall for sample in contender.samples]
    digits = 2 if max(walls) < 100 else 1
    return f"{statistics.median(walls):.{digits}f} ({min(walls):.{digits}f} to {max(walls):.{digits}f})"


def ratio(contender: Contender, base: Contender) -> str:
    """The ratio of the medians."""
    return f"{contender.median() / base.median():.2f}"


def machine() -> str:
    """This machine in a sentence, with how busy it is."""
    memory = os.sysconf("SC_PHYS_PAGES") * _PAGE / (1 << 30)
    load = os.getloadavg()[0]
    return (
        f"{len(os.sched_getaffinity(0))} cores ({platform.machine()}), {memory:.0f} GiB of memory, {platform.system()}; "
        f"load average at the start {load:.1f}."
    )


def versions(found: Mapping[str, str]) -> str:
    """The versions in a sentence."""
    return f"Python {platform.python_version()}, " + ", ".join(f"{name} {number}" for name, number in found.items())


def publish(text: str, mark: str, page: Path | None) -> None:
    """Print a result, and put it between its marks in a page where one is named."""
    say(text)
    if page is None:
        return
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    whole = page.read_text(encoding="utf-8")
    before, found, rest = whole.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page}: no '{begin}' followed by '{end}'")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
