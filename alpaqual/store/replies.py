"""The ledger of a project: its folder, its files, and a summary. `rewriting` changes its files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alpaqual.errors import Problem, RecipeError
from alpaqual.store.ledger import entries, short_key
from alpaqual.store.locking import is_being_written, shared_lock
from alpaqual.store.lost import LOST, lost_entries
from alpaqual.store.store import Store, project_folder
from alpaqual.values import Reply


@dataclass(frozen=True)
class Line:
    """One entry of a ledger with its position: file, first byte, length in bytes."""

    key: str
    reply: Reply
    file: Path
    start: int
    length: int


@dataclass
class Totals:
    """Totals over replies. Tokens and US dollars are None where no reply has any."""

    replies: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None

    def add(self, reply: Reply) -> None:
        """Add a reply; missing, negative and implausibly large numbers are left out."""
        self.replies += 1
        for name in ("input_tokens", "output_tokens", "cost_usd"):
            value = getattr(reply, name)
            if value is not None and 0 <= value < _MAX_PLAUSIBLE:
                setattr(self, name, (getattr(self, name) or 0) + value)


_MAX_PLAUSIBLE = 1e15


@dataclass
class ModelReplies:
    """The replies of one model: first replies (`counted`), later ones to the same keys, and the bytes of both."""

    model: str
    first_file: str
    last_file: str
    counted: Totals = field(default_factory=Totals)
    duplicates: Totals = field(default_factory=Totals)
    bytes: int = 0


@dataclass(frozen=True)
class Summary:
    """Contents of a ledger. `torn` has the files that end in half a line, `written` those that a process writes now.

    `lost` requests gave no reply and count `lost_usd` US dollars against budgets.
    """

    folder: Path
    files: tuple[str, ...]
    bytes: int
    torn: tuple[str, ...]
    written: tuple[str, ...]
    models: tuple[ModelReplies, ...]
    lost: int = 0
    lost_usd: float = 0.0


def replies_folder(place: Path | None = None) -> Path:
    """The folder of replies of a recipe or a project's folder; by default, of the current directory's project.

    Raises RecipeError where the file or folder does not exist.
    """
    start = Path.cwd() if place is None else place
    if not start.exists():
        raise refusal(start, "there is no such recipe or folder")
    if not start.is_dir():
        return Store(project_folder(start)).replies
    if start.resolve().parts[-2:] == Store(Path()).replies.parts:
        return start
    own = Store(start).replies
    return own if own.is_dir() else Store(project_folder(start / "recipe.yaml")).replies


def refusal(place: Path, message: str) -> RecipeError:
    """A RecipeError about a file or folder as a whole."""
    return RecipeError([Problem(str(place), 0, 0, message)])


def files_of(folder: Path) -> list[Path]:
    """The files of a ledger, in the order in which they are read."""
    return sorted(folder.glob("*.jsonl"))


def lines_of(file: Path) -> Iterator[Line]:
    """Every entry of a file. Raises StoreError, with file:line, at another line; skips a torn last line."""
    for key, reply, _, start, length in entries(file):
        yield Line(key, reply, file, start, length)


def summarize(folder: Path) -> Summary:
    """Count replies, tokens and cost of a ledger, by model.

    Raises StoreError, with file:line, at a line that is not an entry.
    """
    models: dict[str, ModelReplies] = {}
    torn, written, size = [], [], 0
    seen: set[bytes] = set()
    with shared_lock(folder):
        files = files_of(folder)
        for file in files:
            live = is_being_written(file)
            end = 0
            for line in lines_of(file):
                _count(models, seen, line)
                end = line.start + line.length
            size += file.stat().st_size
            if live:
                written.append(file.name)
            elif is_torn(file, end):
                torn.append(file.name)
    lost = [usd for _, usd in lost_entries(folder / LOST)]
    return Summary(
        folder,
        tuple(file.name for file in files),
        size,
        tuple(torn),
        tuple(written),
        tuple(sorted(models.values(), key=lambda found: found.model)),
        len(lost),
        sum(lost),
    )


def _count(models: dict[str, ModelReplies], seen: set[bytes], line: Line) -> None:
    found = models.setdefault(line.reply.model, ModelReplies(line.reply.model, line.file.name, line.file.name))
    found.last_file = line.file.name
    found.bytes += line.length
    short = short_key(line.key)
    (found.duplicates if short in seen else found.counted).add(line.reply)
    seen.add(short)


def is_torn(file: Path, end: int) -> bool:
    """Whether a file has text behind its last entry, which ends at byte `end`."""
    with file.open("rb") as stream:
        stream.seek(end)
        return bool(stream.read().strip())


def check_models(folder: Path, models: Collection[str], known: Collection[str]) -> None:
    """Raise RecipeError where there is no reply, or none of a named model."""
    if not known:
        raise refusal(folder, "holds no replies")
    missing = [model for model in models if model not in known]
    if missing:
        raise refusal(folder, f"no reply of the model '{missing[0]}'; there are: {', '.join(sorted(known))}")
