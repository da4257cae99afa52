"""Finds plug-ins by name, and imports one when it is used.

alpaqual's own plug-ins are the files of `alpaqual/<kind>/`; other packages add theirs by entry points of the group
`alpaqual.<kind>`: `name = "package.module:Class"`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alpaqual import contracts
from alpaqual.errors import MachineError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_CONTRACTS = {
    "checks": contracts.Check,
    "engines": contracts.Engine,
    "graders": contracts.Grader,
    "judges": contracts.Judge,
    "llm": contracts.Model,
    "report_formats": contracts.ReportFormat,
    "sources": contracts.Source,
    "trainers": contracts.Trainer,
}
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@cache
def own_names(kind: str) -> tuple[str, ...]:
    """The names of alpaqual's own plug-ins of a kind, such as `checks`; imports none of them."""
    package = importlib.import_module(f"alpaqual.{kind}")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")))


@cache
def names(kind: str) -> tuple[str, ...]:
    """The names of all plug-ins of a kind, our own and those of other packages, none of them imported.

    Raises MachineError, with the package, for an entry point whose name is taken or no name.
    """
    return tuple(sorted((*own_names(kind), *_installed(kind))))


@cache
def find(kind: str, name: str) -> Any:
    """The class of a plug-in.

    Raises MachineError where none has that name, and where the one of another package cannot be imported or lacks something.
    """
    if name in own_names(kind):
        return importlib.import_module(f"alpaqual.{kind}.{name}").Plugin
    entry = _installed(kind).get(name)
    if entry is None:
        raise MachineError(
            f"no plug-in '{name}' of the kind '{kind}' is installed; there are: {', '.join(names(kind))}"
        )
    return _loaded(kind, entry)


def _installed(kind: str) -> Mapping[str, EntryPoint]:
    """The entry points of other packages, by name."""
    if not _any_installed(tuple(sys.path)):
        return {}
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=f"alpaqual.{kind}"):
        if not _NAME.fullmatch(entry.name):
            raise _broken(kind, entry, "the name must be lower-case letters, digits and '_', and start with a letter")
        if entry.name in own_names(kind):
            raise _broken(kind, entry, "alpaqual has a plug-in of that name")
        if entry.name in found and found[entry.name].value != entry.value:
            raise _broken(kind, entry, f"{_package(found[entry.name])} has a plug-in of that name")
        found[entry.name] = entry
    return found


@cache
def _any_installed(paths: tuple[str, ...]) -> bool:
    """Whether a package on these paths may have plug-ins.

    Every command asks this, and importlib.metadata takes longer to import and to read than the rest of a short command.
    """
    for path in map(Path, paths):
        if path.is_file():
            return True  # a zip file, which importlib.metadata reads
        for file in path.glob("*-[iI][nN][fF][oO]/entry_points.txt"):
            if b"[alpaqual." in file.read_bytes():
                return True
    return False


def _loaded(kind: str, entry: EntryPoint) -> Any:
    try:
        plugin = entry.load()
    except Exception as error:
        # Whatever a module of another package raises as it is imported: the reader needs the package's name.
        raise _broken(kind, entry, f"it cannot be imported: {type(error).__name__}: {error}") from error
    contract = _CONTRACTS.get(kind)
    if contract is contracts.Grader and getattr(plugin, "EXPRESSION", None) is not None:
        contract = contracts.ExpressionGrader
    missing = [member for member in _members(contract) if not hasattr(plugin, member)]
    if missing:
        raise _broken(kind, entry, f"{entry.value} lacks {', '.join(missing)} (alpaqual.contracts)")
    return plugin


def _members(contract: type | None) -> list[str]:
    """What a contract asks of a plug-in: its attributes and methods."""
    classes = () if contract is None else [cls for cls in contract.__mro__ if getattr(cls, "_is_protocol", False)]
    named = {name for cls in classes for name in (*vars(cls), *vars(cls).get("__annotations__", {}))}
    return sorted(name for name in named if not name.startswith("_"))


def _package(entry: EntryPoint) -> str:
    return f"the package '{entry.dist.name}'" if entry.dist is not None else f"the module '{entry.module}'"


def _broken(kind: str, entry: EntryPoint, reason: str) -> MachineError:
    return MachineError(
        f"the plug-in '{entry.name}' (alpaqual.{kind}) of {_package(entry)} cannot be used: {reason}; "
        "update or uninstall that package"
    )
