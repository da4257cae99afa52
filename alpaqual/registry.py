"""A plug-in is found by name and imported only then.

Our own plug-ins are the files of `alpaqual/<kind>/`; other packages add theirs through the entry-point group
`alpaqual.<kind>`. There is no list to keep.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

from alpaqual.errors import MachineError


@cache
def names(kind: str) -> tuple[str, ...]:
    """The names of our own plug-ins of a kind (`sources`, `graders`, `llm`), none of them imported."""
    package = importlib.import_module(f"alpaqual.{kind}")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_")))


@cache
def find(kind: str, name: str) -> Any:
    """The class `Plugin` of a plug-in.

    Raises MachineError where there is none of that name.
    """
    if name in names(kind):
        return importlib.import_module(f"alpaqual.{kind}.{name}").Plugin
    from importlib.metadata import entry_points

    for entry in entry_points(group=f"alpaqual.{kind}", name=name):
        return entry.load()
    known = ", ".join(names(kind))
    raise MachineError(f"no plug-in '{name}' of the kind '{kind}' is installed; there is: {known}")
