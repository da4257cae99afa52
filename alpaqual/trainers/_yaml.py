"""Writes YAML by PyYAML. Imported lazily: a job runs where PyYAML may be missing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any


def document(comment: Iterable[str], *documents: Mapping[str, Any]) -> str:
    """YAML documents in block style under a comment, which has one line each.

    Raises ValueError for a float that is NaN or infinite.
    """
    lines = [f"# {line}".rstrip() for line in comment]
    return "".join(f"{line}\n" for line in lines) + _dump_all(documents)


def quoted(text: str) -> str:
    """A text in double quotes on one line, with control characters escaped: safe in a comment, too."""
    return _dump_all([text], default_style='"').rstrip("\n")


def _dump_all(documents: Iterable[Any], **options: Any) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes all texts but words: other readers take more of them for numbers or booleans than PyYAML does (1e3, y)."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

        def represent_str(self, data: str) -> Any:
            plain = len(data) > 1 and data.isascii() and data.isidentifier()
            return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if plain else '"')

        def represent_float(self, data: float) -> Any:
            if not math.isfinite(data):
                raise ValueError(f"{data} is not a finite number")
            return super().represent_float(data)

    Dumper.add_representer(str, Dumper.represent_str)
    Dumper.add_representer(float, Dumper.represent_float)
    found: str = yaml.dump_all(
        documents,
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=math.inf,
        default_flow_style=False,
        **options,
    )
    return found
