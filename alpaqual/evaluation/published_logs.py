"""Published logs of judges, as they come, as lines of recorded replies: which form a log has, and what its records become.

`alpaqual.evaluation.log_forms` has the forms. Nothing is left out in silence: each record becomes lines, or is counted with the
reason.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from alpaqual.errors import Problem, RecipeError
from alpaqual.evaluation.log_forms import FORMS
from alpaqual.evaluation.log_questions import Questions
from alpaqual.evaluation.log_records import Form, LeftOut, LogFile
from alpaqual.values import Winner

_TEST_SETS = {
    "vicuna": "vicuna",
    "koala": "koala",
    "wizardlm": "wizardlm",
    "sinstruct": "self_instruct",
    "self_instruct": "self_instruct",
    "self-instruct": "self_instruct",
    "lima": "lima",
    "mt_bench": "mt_bench",
    "alpaca_eval": "alpaca_eval",
}
"""Names of test sets, by what file names call them."""
_DEFAULT_TEST_SET = "questions"
_DEFAULT_JUDGE = "replies"
_MODEL_WORDS = re.compile(r"[_\W]+")


@dataclass(frozen=True)
class ImportOptions:
    """What a person says about logs: the models of the pair, who is first in each file, the names of test set and judge."""

    models: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    test_set: str = ""
    judge: str = ""
    questions: Questions | None = None


@dataclass
class Imported:
    """Lines of recorded replies, and what was found: `left_out` counts records by reason, `notes` say what the log does not have.

    `logged` has the winner of each order as the log itself has it, by (judge, test set, item, first, second).
    """

    lines: list[dict[str, Any]] = field(default_factory=list)
    forms: dict[str, str] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    logged: dict[tuple[str, ...], Winner] = field(default_factory=dict)

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)


def import_logs(files: Sequence[LogFile], options: ImportOptions) -> Imported:
    """The lines that logs become.

    Raises RecipeError where a file has no form that is known, or where the models of its records are not clear.
    """
    if options.first and len(options.first) != len(files):
        raise _wrong(
            "--first", f"{len(options.first)} names for {len(files)} files: give one for each file, in their order"
        )
    found = Imported()
    for number, file in enumerate(files):
        first = options.first[number] if options.first else ""
        for line in _lines(file, options, first, found):
            found.lines.append(line)
    found.lines = _without_repeats(found.lines, found)
    if not found.lines:
        reasons = "; ".join(f"{reason} ({count:,})" for reason, count in found.left_out.items())
        raise _wrong(files[0].name, f"no record could be imported: {reasons or 'the log is empty'}")
    return found


def _lines(file: LogFile, options: ImportOptions, first: str, found: Imported) -> Iterator[dict[str, Any]]:
    found.left_out.update(file.broken)
    form = _form_of(file)
    found.forms[file.name] = form.title
    found.records[file.name] = len(file.records)
    convert = form.start(file, options.models, first)
    for note in convert.notes:
        found.note(note)
    test_set = options.test_set or convert.test_set or _test_set_of(file) or form.test_set or _DEFAULT_TEST_SET
    for number, record in enumerate(file.records, 1):
        if not isinstance(record, Mapping):
            found.left_out["no object"] += 1
            continue
        try:
            lines = list(convert.lines(record, number))
        except LeftOut as reason:
            found.left_out[str(reason)] += 1
            continue
        for line in lines:
            line.setdefault("test_set", test_set)
            line["judge"] = options.judge or line.get("judge") or _DEFAULT_JUDGE
            if options.questions is not None:
                line |= options.questions.groups(line)
            if line.get("logged") is not None:
                found.logged[line["judge"], line["test_set"], str(line["id"]), line["first"], line["second"]] = line[
                    "logged"
                ]
            yield {
                key: line[key] for key in _ORDER if line.get(key) not in (None, "") or (key == "reply" and key in line)
            }
    for note in convert.later_notes():
        found.note(note)


_ORDER = (
    "pair",
    "model",
    "test_set",
    "id",
    "category",
    "skill",
    "judge",
    "first",
    "second",
    "reply",
    "question",
    "first_answer",
    "second_answer",
    "answer",
    "turn",
)
"""Keys of a line, in their order."""


def _form_of(file: LogFile) -> Form:
    record = next((each for each in file.records if isinstance(each, Mapping)), None)
    if record is None:
        raise _wrong(file.name, "the log has no records")
    for form in FORMS:
        if form.fits(file, record):
            return form
    if {"first", "second", "reply"} <= record.keys():
        raise _wrong(file.name, "these are recorded replies already: name the file in `evaluation: {replies: …}`")
    keys = ", ".join(f"'{key}'" for key in list(record)[:12])
    titles = "; ".join(form.title for form in FORMS)
    raise _wrong(file.name, f"no known form of a log: its first record has {keys}. Known are: {titles}")


def _test_set_of(file: LogFile) -> str:
    """The test set that a file's name has as a word."""
    name = PurePath(file.name).name.casefold()
    words = _MODEL_WORDS.split(name)
    for word, test_set in _TEST_SETS.items():
        if word in words or ("_" in word and word in name):
            return test_set
    return ""


def _without_repeats(lines: Sequence[dict[str, Any]], found: Imported) -> list[dict[str, Any]]:
    """Each order of each item of each judge once: the last one, where replies differ, as the programs that wrote them read."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in lines:
        asked = (line.get("first"), line.get("second"), line.get("model"))
        key = (line["judge"], line["test_set"], str(line["id"]), *asked)
        before = kept.get(key)
        if before is not None:
            same = before.get("reply") == line.get("reply")
            reason = "the same reply once more" if same else "an earlier reply to the same request: the last one counts"
            found.left_out[reason] += 1
        kept[key] = line
    return list(kept.values())


def json_lines(lines: Sequence[Mapping[str, Any]]) -> str:
    """Lines as JSON Lines."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _wrong(file: str, message: str) -> RecipeError:
    return RecipeError([Problem(file, 0, 0, message)])
