"""Plan -> Run: the only room that spends time, money or disk.

The folder is a room and its name is also a verb: `alpaqual.run("recipe.yaml")`. So the module can be called.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Verb(ModuleType):
    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        from importlib import import_module

        return import_module("alpaqual.api").run(*arguments, **settings)


sys.modules[__name__].__class__ = _Verb
