"""TSV: CSV with tabs."""

from __future__ import annotations

from typing import ClassVar

from alpaqual.sources import csv


class Plugin(csv.Plugin):
    """Reads with Python's csv module in its strict mode."""

    SUFFIXES: ClassVar[tuple[str, ...]] = (".tsv",)
    DELIMITER = "\t"
