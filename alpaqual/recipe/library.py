"""Find rule and category files in `rules/` near the recipe, then in the package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def shipped(kind: str) -> Path:
    """The folder of files shipped with alpaqual; `kind` is `rules` or `recipes`."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_shipped" / kind
    return installed if installed.is_dir() else package.parent / kind


def find_recipe(path: Path) -> Path:
    """Return the path itself if it exists, else the shipped recipe of that name."""
    if path.exists() or path.parent != Path():
        return path
    found = shipped("recipes") / path.name
    return found if found.is_file() else path


_MAX_NAME_LENGTH = 200
"""Characters. Some systems raise an error when asked for a longer file name."""


class Library:
    """Finds the rule and category files that a recipe names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """The recipe's folder; relative paths start here."""

    def find(self, name: str, kind: str = "") -> Path | None:
        """The rule file (kind "") or category file (kind "categories") of this name, or None."""
        if len(name) > _MAX_NAME_LENGTH:
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

    def names(self, kind: str = "") -> list[str]:
        """Every name that `find` resolves, sorted."""
        return sorted({path.stem for folder in self._folders() for path in (folder / kind).glob("*.y*ml")})

    def display_path(self, path: Path) -> str:
        """Path for messages and reports, relative to the recipe's folder or a parent; `alpaqual:rules/…` for a shipped file."""
        if path.is_relative_to(shipped("rules")):
            return f"alpaqual:rules/{path.relative_to(shipped('rules')).as_posix()}"
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
