"""The ledger of a project as a whole: where it lies and what it holds. What writes its files anew is in `rewriting`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alpaqual.errors import Problem, RecipeError
from alpaqual.store.ledger import _short as short_key
from alpaqual.store.ledger import entries
from alpaqual.store.locking import is_written, sharing
from alpaqual.store.store import Store, project_folder
from alpaqual.values import Reply


@dataclass(frozen=True)
class Line:
    """One entry of a ledger and where it stands: file, first byte, length in bytes."""

    key: str
    reply: Reply
    file: Path
    start: int
    length: int


@dataclass
class Sums:
    """What replies add up to. Tokens and US dollars are None where no reply says any."""

    replies: int = 0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None

    def add(self, reply: Reply) -> None:
        """Take one more reply in; a number that no server means (below zero, beyond all bounds, none at all) is not added."""
        self.replies += 1
        for name in ("input_tokens", "output_tokens", "cost_usd"):
            value = getattr(reply, name)
            if value is not None and 0 <= value < _MOST:
                setattr(self, name, (getattr(self, name) or 0) + value)


_MOST = 1e15


@dataclass
class ModelReplies:
    """The replies of one model: those that count, those to keys that had a reply already, and the bytes of both."""

    model: str
    first_file: str
    last_file: str
    counted: Sums = field(default_factory=Sums)
    duplicates: Sums = field(default_factory=Sums)
    bytes: int = 0


@dataclass(frozen=True)
class Survey:
    """What a ledger holds. `torn` names the files that end in half a line, `written` those that a process writes now."""

    folder: Path
    files: tuple[str, ...]
    bytes: int
    torn: tuple[str, ...]
    written: tuple[str, ...]
    models: tuple[ModelReplies, ...]


def replies_folder(place: Path | None = None) -> Path:
    """The folder of replies of a recipe, or of a project's folder; of the project that one stands in where none is named.

    Raises RecipeError where there is no such file or folder.
    """
    start = Path.cwd() if place is None else place
    if not start.exists():
        raise refusal(start, "no recipe and no folder is there")
    if not start.is_dir():
        return Store(project_folder(start)).replies
    if start.resolve().parts[-2:] == Store(Path()).replies.parts:
        return start
    own = Store(start).replies
    return own if own.is_dir() else Store(project_folder(start / "recipe.yaml")).replies


def refusal(place: Path, message: str) -> RecipeError:
    """What was asked for is wrong: where it was looked for, and why."""
    return RecipeError([Problem(str(place), 0, 0, message)])


def files_of(folder: Path) -> list[Path]:
    """The files of a ledger, in the order in which their replies count."""
    return sorted(folder.glob("*.jsonl"))


def lines_of(file: Path) -> Iterator[Line]:
    """Every entry of a file. Raises StoreError, with file:line, at a line that is none; a torn last line is passed over."""
    for key, reply, _, start, length in entries(file):
        yield Line(key, reply, file, start, length)


def survey(folder: Path) -> Survey:
    """Count what a ledger holds.

    Raises StoreError, with file:line, at a line that is no entry.
    """
    models: dict[str, ModelReplies] = {}
    torn, written, size = [], [], 0
    seen: set[bytes] = set()
    with sharing(folder):
        files = files_of(folder)
        for file in files:
            live = is_written(file)
            end = 0
            for line in lines_of(file):
                _count(models, seen, line)
                end = line.start + line.length
            size += file.stat().st_size
            if live:
                written.append(file.name)
            elif is_torn(file, end):
                torn.append(file.name)
    return Survey(
        folder,
        tuple(file.name for file in files),
        size,
        tuple(torn),
        tuple(written),
        tuple(sorted(models.values(), key=lambda found: found.model)),
    )


def _count(models: dict[str, ModelReplies], seen: set[bytes], line: Line) -> None:
    found = models.setdefault(line.reply.model, ModelReplies(line.reply.model, line.file.name, line.file.name))
    found.last_file = line.file.name
    found.bytes += line.length
    short = short_key(line.key)
    (found.duplicates if short in seen else found.counted).add(line.reply)
    seen.add(short)


def is_torn(file: Path, end: int) -> bool:
    """Whether something stands in a file behind its last entry, which ends at byte `end`."""
    with file.open("rb") as stream:
        stream.seek(end)
        return bool(stream.read().strip())


def check_models(folder: Path, models: Collection[str], known: Collection[str]) -> None:
    """Raises RecipeError where there is no reply at all, or none of a model that was named."""
    if not known:
        raise refusal(folder, "holds no replies")
    missing = [model for model in models if model not in known]
    if missing:
        raise refusal(folder, f"no reply of the model '{missing[0]}'; there are: {', '.join(sorted(known))}")
