"""JSON Lines: one object a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from alpaqual.conversation.json_members import on_one_line
from alpaqual.read_options import PLAIN, ReadOptions
from alpaqual.sources._reading import json_row, lines, size_of


class Plugin:
    VERSION = 2
    SUFFIXES = (".jsonl", ".ndjson")
    CELLS = "json"
    OPTIONS = ("max_row_bytes",)

    def __init__(self, options: ReadOptions = PLAIN) -> None:
        self.most = options.max_row_bytes

    def rows(self, file: str) -> Iterator[tuple[dict[str, Any] | None, str]]:
        for number, line in lines(file, self.most):
            place = f"line {number}"
            yield ((None, f"{place}: more than {size_of(self.most)}") if line is None else json_row(line, place))

    def places(self, file: str) -> Iterator[str]:
        """The place of each row that `rows` yields."""
        return (f"line {number}" for number, _ in lines(file, self.most))

    def records(self, file: str) -> Iterator[str | None]:
        """The JSON text of each row, in the order of `rows`; None for one that is too long."""
        for _, line in lines(file, self.most):
            yield None if line is None else on_one_line(line.decode("utf-8-sig", "replace").strip(" \t\r\n"))
