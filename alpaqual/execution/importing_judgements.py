"""Imports published logs of judges: reads the files, and says what they became."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alpaqual.errors import Problem, RecipeError
from alpaqual.evaluation.log_questions import Questions
from alpaqual.evaluation.log_records import LogFile
from alpaqual.evaluation.published_logs import Imported, ImportOptions, import_logs, json_lines
from alpaqual.evaluation.recorded import Recorded, read_recorded
from alpaqual.evaluation.test_sets import CATALOG
from alpaqual.execution.recorded_judgements import read_lines, readers
from alpaqual.execution.test_sets import catalog_file

_DATA = "data"
"""Key of the records in a log that has something beside them."""


@dataclass(frozen=True)
class ImportedJudgements:
    """What logs became: `text` is JSON Lines, `found` what was left out and why, `recorded` what a recipe reads of the lines."""

    text: str
    found: Imported
    recorded: Recorded
    questions: Questions | None

    @property
    def one_order(self) -> bool:
        """Whether the recipe needs `orders: one`: no item was judged in both orders."""
        judgements = [each for each in self.recorded.judgements if not each.single]
        return bool(judgements) and all("no reply" in (each.a_first.reason, each.b_first.reason) for each in judgements)

    def unread(self) -> Counter[str]:
        """Replies that say nothing, by reason."""
        votes = (vote for each in self.recorded.judgements for vote in (each.a_first, each.b_first))
        return Counter(vote.reason for vote in votes if vote.winner is None and vote.reason != "no reply")

    def against_log(self) -> Counter[str]:
        """Replies with a result in the log itself, by how they are read: the same, otherwise, or not readable."""
        counts: Counter[str] = Counter()
        for each in self.recorded.judgements:
            for first, second, vote in ((each.a, each.b, each.a_first), (each.b, each.a, each.b_first)):
                logged = self.found.logged.get((each.judge, each.test_set, each.id, first, second))
                if logged is not None:
                    counts["unread" if vote.winner is None else "same" if vote.winner == logged else "otherwise"] += 1
        return counts


def import_files(
    files: Sequence[str | Path], options: ImportOptions, questions: str | Path | None = None
) -> ImportedJudgements:
    """Published logs of judges as recorded replies; `questions` is a file of the test set, or a name of the catalog, for categories and skills.

    Raises RecipeError where a file cannot be read or has no known form.
    """
    if options.models and len(set(options.models)) != 2:
        raise RecipeError([Problem("--models", 0, 0, "give the names of two different models")])
    known = None if questions is None else Questions(read_log(_file_of(Path(questions))).records)
    found = import_logs([read_log(Path(file)) for file in files], replace(options, questions=known))
    text = json_lines(found.lines)
    # `splitlines` would also break lines at characters inside of texts, such as U+2028.
    recorded = read_recorded(text.split("\n"), readers(), file="the imported lines")
    return ImportedJudgements(text, found, recorded, known)


def read_log(path: Path) -> LogFile:
    """The records of a file of JSON or JSON Lines, compressed or not; a line that is not JSON is counted.

    Raises RecipeError where the file cannot be read or has no JSON.
    """
    shown = str(path)
    text = "".join(read_lines(path, shown))
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return _of_lines(shown, text)
    if isinstance(value, Mapping) and isinstance(value.get(_DATA), list):
        meta = value.get("Meta_Info")
        return LogFile(shown, value[_DATA], meta if isinstance(meta, Mapping) else {})
    return LogFile(shown, value if isinstance(value, list) else [value])


def _of_lines(shown: str, text: str) -> LogFile:
    records: list[Any] = []
    broken: Counter[str] = Counter()
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            records.append(json.loads(line))
        except (ValueError, RecursionError):
            broken["a line that is not JSON"] += 1
    if not records:
        raise RecipeError([Problem(shown, 0, 0, "neither JSON nor JSON Lines")])
    return LogFile(shown, records, {}, broken)


def _file_of(questions: Path) -> Path:
    """The file of questions: as it is named, or that of a test set of the catalog which is in ALPAQUAL_DATA."""
    if questions.exists() or str(questions) not in CATALOG:
        return questions
    found = catalog_file(str(questions))
    if found is None:
        message = "there is no such file, and the test set of this name is not in the folder that ALPAQUAL_DATA names"
        raise RecipeError([Problem(str(questions), 0, 0, message)])
    return found
