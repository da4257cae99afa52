"""Where files of rules and categories are found: in `rules/` beside or above the recipe, then among those shipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def shipped(kind: str) -> Path:
    """The folder of what is shipped: `rules` or `recipes`."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_shipped" / kind
    return installed if installed.is_dir() else package.parent / kind


_LONGEST_NAME = 200
"""Characters; a longer name is no file's, and some systems will not even look."""


class Library:
    """Finds and reads the files that a recipe names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """The recipe's own folder: relative paths start here."""

    def find(self, name: str, kind: str = "") -> Path | None:
        """The file of rules (kind "") or of a category (kind "categories") of this name."""
        if len(name) > _LONGEST_NAME:
            return None
        if name.endswith((".yaml", ".yml")):
            path = self.folder / name
            return path if path.is_file() else None
        for folder in self._folders():
            for suffix in (".yaml", ".yml"):
                path = folder / kind / f"{name}{suffix}"
                if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                    return path
        return None

    def known(self, kind: str = "") -> list[str]:
        """Every name that `find` would find."""
        return sorted({path.stem for folder in self._folders() for path in (folder / kind).glob("*.y*ml")})

    def shown(self, path: Path) -> str:
        """How a file is called in messages and reports: relative to the recipe's folder where it lies below it."""
        if path.is_relative_to(shipped("rules")):
            return str(Path("rules") / path.relative_to(shipped("rules")))
        resolved = path.resolve()
        for folder in (self.folder.resolve(), *self.folder.resolve().parents[:3]):
            if resolved.is_relative_to(folder) and folder.parent != folder:
                return str(resolved.relative_to(folder))
        return path.name

    def _folders(self) -> Iterator[Path]:
        here = self.folder.resolve()
        for folder in (here, *here.parents):
            if (folder / "rules").is_dir():
                yield folder / "rules"
            if (folder / ".git").exists():
                break
        yield shipped("rules")
