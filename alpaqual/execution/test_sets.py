"""Finds the test sets of a recipe, and reads their questions."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from alpaqual.compression import verify_compressed_file
from alpaqual.disk import replace_file
from alpaqual.errors import MachineError, QueryError, RecipeError
from alpaqual.evaluation.test_sets import CATALOG, KnownTestSet
from alpaqual.execution.questions import Columns, QuestionError, columns_of, question_of
from alpaqual.recipe.evaluation import TestSet
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.schema_errors import suggest
from alpaqual.recipe.yaml_nodes import Path as Place
from alpaqual.sources import endings, format_of, open_source
from alpaqual.store.store import project_folder
from alpaqual.values import Question

DATA = "ALPAQUAL_DATA"
"""The environment variable with the folder of data that are not part of a project."""
_FOLDER = "test_sets"
_FETCH_SECONDS = 30
_MOST_BYTES = 64 * 2**20
_SHOWN = 5
"""Problems of one file that are shown."""


@dataclass(frozen=True)
class ReadTestSet:
    """A test set as it is asked: its name, its file, and its questions in the order of the file. `notes` are for the report."""

    name: str
    path: Path
    questions: tuple[Question, ...]
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """sha256, in hexadecimal, over the questions, whatever their order."""
        return questions_digest(self.questions)


def load_test_set(recipe: Recipe, name: str, *, offline: bool = False) -> ReadTestSet:
    """Find and read a test set of the recipe's evaluation.

    Raises RecipeError where its file is missing or wrong, MachineError where a test set of the catalog is not here.
    """
    return read_questions(recipe, name, find_test_set(recipe, name, offline=offline))


def find_test_set(recipe: Recipe, name: str, *, offline: bool = False) -> Path:
    """The file of a test set: the recipe's own, else in ALPAQUAL_DATA or the project's cache, else fetched.

    Raises RecipeError where the recipe's file is missing, MachineError with the command to run where it cannot be fetched.
    """
    settings, place = _settings(recipe, name)
    if settings.path is not None:
        path = recipe.folder / Path(settings.path).expanduser()
        if not path.is_file():
            message = f"there is no file {settings.path} (looked in {recipe.folder.resolve()})"
            raise RecipeError([recipe.problem((*place, "path"), message)])
        return path
    known = CATALOG[name]
    cache = project_folder(recipe.folder / "recipe.yaml") / ".alpaqual" / _FOLDER
    return catalog_file(name, cache) or _fetch(name, known, cache / known.file, offline=offline)


def catalog_file(name: str, *more: Path) -> Path | None:
    """The file of a test set of the catalog in ALPAQUAL_DATA, or in one of `more` folders; None where it is in none."""
    folders, file = [*_data_folders(), *more], CATALOG[name].file
    return next((folder / file for folder in folders if (folder / file).is_file()), None)


def read_questions(recipe: Recipe, name: str, path: Path) -> ReadTestSet:
    """Read the questions of a test set from its file; of a `sample`, the same ones in every run.

    Raises RecipeError, at its place in the recipe, with every question that cannot be asked.
    """
    settings, place = _settings(recipe, name)
    place = (*place, "path") if settings.path is not None else place
    shown = settings.path or path.name

    def wrong(messages: Sequence[str]) -> RecipeError:
        more = [f"{shown}: and {len(messages) - _SHOWN:,} more"] if len(messages) > _SHOWN else []
        lines = [*(f"{shown}, {message}" for message in messages[:_SHOWN]), *more]
        return RecipeError([recipe.problem(place, line) for line in lines])

    try:
        rows = list(_rows(path))
        columns = _columns(settings, name, rows)
        questions, problems = _questions(rows, columns)
    except QueryError as error:
        raise RecipeError([recipe.problem(place, f"{shown} cannot be read: {error.reason}")]) from None
    except ValueError as error:
        raise RecipeError([recipe.problem(place, f"{shown}: {error}")]) from None
    if problems:
        raise wrong(problems)
    if settings.path is None and len(questions) != CATALOG[name].items:
        message = (
            f"{path} has {len(questions):,} questions where the test set '{name}' has {CATALOG[name].items}: delete it, so that it "
            "is fetched again, or name it with 'path'"
        )
        raise RecipeError([recipe.problem(place, message)])
    return ReadTestSet(name, path, sampled(questions, settings.sample), columns.notes)


def questions_digest(questions: Sequence[Question]) -> str:
    """sha256, in hexadecimal, over questions, whatever their order."""
    lines = sorted(json.dumps(msgspec.to_builtins(each), ensure_ascii=False, sort_keys=True) for each in questions)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def sampled(questions: Sequence[Question], count: int | None) -> tuple[Question, ...]:
    """`count` of the questions, spread over their groups in proportion and chosen by the md5 of their ids; None: all.

    A smaller sample is part of a larger one.
    """
    if count is None or count >= len(questions):
        return tuple(questions)
    sizes, ranks = Counter(each.groups for each in questions), Counter[Any]()
    positions: list[tuple[float, str, str]] = []
    for each in sorted(questions, key=_chance):
        positions.append(((ranks[each.groups] + 0.5) / sizes[each.groups], *_chance(each)))
        ranks[each.groups] += 1
    chosen = {name for *_, name in sorted(positions)[:count]}
    return tuple(each for each in questions if each.id in chosen)


def _chance(question: Question) -> tuple[str, str]:
    name = question.id.encode("utf-8", "surrogatepass")
    return hashlib.md5(name, usedforsecurity=False).hexdigest(), question.id


def _settings(recipe: Recipe, name: str) -> tuple[TestSet, Place]:
    """The settings of a test set, and their place in the recipe."""
    evaluation = recipe.text.evaluation
    assert evaluation is not None
    index = list(evaluation.named_test_sets).index(name)
    return evaluation.named_test_sets[name], ("evaluation", "test_sets", index)


def _data_folders() -> list[Path]:
    given = os.environ.get(DATA)
    return [Path(given), Path(given, _FOLDER)] if given else []


def _fetch(name: str, known: KnownTestSet, target: Path, *, offline: bool) -> Path:
    """Fetch a test set into the project's cache. Raises MachineError."""
    import urllib.request

    reason = "the run is offline"
    if not offline:
        try:
            with urllib.request.urlopen(known.url, timeout=_FETCH_SECONDS) as response:
                text = response.read(_MOST_BYTES).decode("utf-8")
            # Not splitlines: a text may have another line separator of Unicode.
            found = sum(bool(line.strip()) for line in text.split("\n"))
            if found == known.items:
                target.parent.mkdir(parents=True, exist_ok=True)
                replace_file(target.parent / ".gitignore", "*\n")
                replace_file(target, text)
                return target
            reason = f"{known.url} has {found:,} lines where {known.items} questions should be"
        except (OSError, ValueError) as error:
            reason = f"it could not be fetched: {error}"
    raise MachineError(
        f"the test set '{name}' ({known.items} questions, licence: {known.licence}) is not here, and {reason}; fetch it where there "
        f"is a network: curl -fL --create-dirs -o {target} {known.url} - or set {DATA} to a folder that has {known.file}"
    )


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file with their places. Raises ValueError, QueryError."""
    kind = format_of(str(path))
    if kind is None:
        raise ValueError(f"cannot tell the format: use {endings()}")
    verify_compressed_file(str(path))
    plugin = open_source(kind)
    if plugin.CELLS == "typed":
        yield from _typed_rows(path)
        return
    places: Any = plugin
    for place, (row, reason) in zip(places.places(str(path)), plugin.rows(str(path)), strict=True):
        if row is None:
            raise ValueError(reason)
        yield place, row


def _typed_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    from alpaqual.engines import viewing

    with viewing({_FOLDER: path}) as engine:
        for number, row in enumerate(engine.facts(f"SELECT * FROM {_FOLDER}", "reading a test set"), 1):
            yield f"row {number}", row


def _columns(settings: TestSet, name: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Columns:
    """Which columns make up a question: as the recipe says, as the catalog says, or by their names. Raises ValueError."""
    if not rows:
        raise ValueError("it has no questions")
    there = list(dict.fromkeys(column for _, row in rows for column in row))
    given = {
        field: column
        for field in (settings.fields.__struct_fields__ if settings.fields is not None else ())
        if (column := getattr(settings.fields, field)) is not None
    }
    for field, path in given.items():
        column = path if path in there else path.partition(".")[0]
        if column not in there:
            hint = suggest(column, there) or f"; there are: {', '.join(there[:20])}"
            raise ValueError(f"it has no column '{column}', which 'fields' names as {field}{hint}")
    known = CATALOG[name].fields if settings.path is None else {}
    return columns_of(given, known, [row for _, row in rows])


def _questions(rows: Sequence[tuple[str, dict[str, Any]]], columns: Columns) -> tuple[list[Question], list[str]]:
    """The questions of rows, and what is wrong with the others."""
    questions: list[Question] = []
    problems: list[str] = []
    first: dict[str, str] = {}
    for number, (place, row) in enumerate(rows, 1):
        try:
            question = question_of(row, columns, number)
        except QuestionError as error:
            problems.append(f"{place}: {error}")
            continue
        if question.id in first:
            problems.append(f"{place}: the id '{question.id}' is also that of {first[question.id]}")
            continue
        first[question.id] = place
        questions.append(question)
    return questions, problems
