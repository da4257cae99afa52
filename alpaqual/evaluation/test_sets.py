"""The catalog of test sets: where each comes from, its licence, size and sha256, and which columns make up a question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownTestSet:
    """A published test set. `file` is its name under ALPAQUAL_DATA; `fields` maps the parts of a question to its columns.

    `url` is where it is fetched from, `licence` and `source` are for people. `sha256` is of the file that has `items` questions.
    """

    file: str
    items: int
    sha256: str
    licence: str
    source: str
    url: str
    fields: Mapping[str, str]


CATALOG: Mapping[str, KnownTestSet] = {}
