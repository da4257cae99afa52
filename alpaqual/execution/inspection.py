"""Inspects the sources before planning: their files, columns and fields. What is not written there is found from all rows."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import fields as fields_of
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from alpaqual.compression import compression_by, compression_of, verify_compressed_file
from alpaqual.contracts import Engine
from alpaqual.contracts import Source as SourcePlugin
from alpaqual.delimited import common_kind, delimiter_advice, kind_of_text
from alpaqual.engines import open_engine
from alpaqual.errors import MachineError, Problem, QueryError, RecipeError
from alpaqual.execution.layouts import OPTIONAL, PREFERENCES, are_preferences, kept_columns, layout_of, own_id
from alpaqual.plan.source_columns import data_columns, named_columns
from alpaqual.recipe.evaluation import Evaluation
from alpaqual.recipe.model import Fields, Source
from alpaqual.recipe.recipe import Recipe
from alpaqual.recipe.schema_errors import suggest
from alpaqual.sources import format_of, formats, is_saved, open_source, saved_files
from alpaqual.store.store import Store
from alpaqual.values import ROW_FIELDS, FilesFound, ReadOptions, Scan, SourceFacts, SourceFile

REMOTE = "hf://"

_SMALL = 64 * 1024
"""Bytes of a file that takes less time to hash again than to look up."""


def inspect_sources(recipe: Recipe, store: Store, *, offline: bool = False) -> tuple[list[SourceFacts], dict[str, str]]:
    """What each source is, and the digest of every other file that the plan depends on, by its path in the recipe.

    Raises RecipeError with every source that is not there, or is not what the recipe says.
    """
    inspector = _SourceInspector(recipe, store, offline)
    try:
        facts = [
            inspector.inspect(index, source_name, source) for index, (source_name, source) in enumerate(recipe.sources)
        ]
        digests = inspector.other_files()
    finally:
        inspector.close()
    if inspector.problems:
        raise RecipeError(inspector.problems)
    return [found for found in facts if found is not None], digests


class _SourceInspector:
    def __init__(self, recipe: Recipe, store: Store, offline: bool) -> None:
        self.recipe = recipe
        self.store = store
        self.offline = offline
        self.problems: list[Problem] = []
        self.opened: Engine | None = None
        self.named = {own for column, _ in named_columns(recipe) for own in data_columns(column)}

    @property
    def engine(self) -> Engine:
        if self.opened is None:
            self.opened = open_engine(kind=self.recipe.text.engine.kind)
        return self.opened

    def close(self) -> None:
        if self.opened is not None:
            self.opened.close()

    def problem(self, index: int, key: str, message: str) -> None:
        self.problems.append(self.recipe.problem(("sources", index, key), message))

    def inspect(self, index: int, source_name: str, source: Source) -> SourceFacts | None:
        files = self.files(index, source)
        if not files:
            return None
        kind = source.format or format_of(files[0].path)
        if kind is None:
            self.problem(
                index,
                "path",
                f"cannot tell the format of {source.path}; write 'format:' with {formats()}",
            )
            return None
        options = read_options(source)
        plugin = open_source(kind, options)
        own = {"id", *(source.keep if isinstance(source.keep, list) else ())}
        own |= {source.fields.id} if isinstance(source.fields, Fields) and source.fields.id else set()
        scan = Scan("", source_name, kind, plugin.CELLS, tuple(files), tuple(sorted(self.named | own)), options=options)
        found = self.describe(index, source, scan, plugin)
        if found is None:
            return None
        found = self.with_partitions(index, source, found, files)
        if source.keep == "all" and scan.cells == "text":
            # Of texts, the columns that a scan names have types.
            every = self.describe(index, source, replace(scan, columns=tuple(found.columns)), plugin)
            found = self.with_partitions(index, source, every or found, files)
        if found.empty or (found.file_rows is not None and sum(found.file_rows) == 0):
            self.problem(index, "path", f"{source.path} has no rows")
            return None
        fields = self.fields(index, source, found.columns, plugin)
        if fields is None:
            return None
        return SourceFacts(
            source_name,
            kind,
            tuple(files),
            found.columns,
            fields,
            found.file_rows,
            options,
            source.roles,
            source.other_parts == "placeholder",
            own_id(source, found.columns, fields),
            kept_columns(source, found.columns, fields),
        )

    def files(self, index: int, source: Source) -> list[SourceFile]:
        if source.path.startswith(REMOTE):
            if self.offline:
                raise MachineError(
                    f"{source.path} is on the network and --offline forbids it; download it and name the file"
                )
            self.engine.allow_network()
            # The address (with its revision) is the digest: the content is not downloaded to hash it.
            return [SourceFile(source.path, source.path, 0)]
        # From the root, so that plan.sql finds the files wherever it is pasted.
        folder = self.recipe.folder.absolute()
        named = folder / source.path
        # A glob may start above the recipe, which pathlib does not do. Glob characters in the name of the recipe's folder,
        # or of a file that exists, are plain characters.
        globbed = glob.has_magic(source.path) and not named.is_file()
        matches = glob.glob(source.path, root_dir=folder, recursive=True) if globbed else []  # noqa: PTH207
        paths = sorted(os.path.join(folder, match) for match in matches) if globbed else [str(named)]  # noqa: PTH118
        sizes = {path: size for path in paths if (size := _size(path)) is not None}
        if source.format in (None, "arrow"):
            try:
                sizes.update(_saved([path for path in paths if path not in sizes], source.split))
            except ValueError as error:
                self.problem(index, "path", str(error))
                return []
        if not sizes:
            hint = (
                f"; {source.path} is a folder: name its files, such as {source.path}/*.jsonl" if named.is_dir() else ""
            )
            self.problem(
                index, "path", f"no file matches {source.path} (looked in {self.recipe.folder.resolve()}){hint}"
            )
        for path, size in sizes.items():
            if size == 0:
                self.problem(index, "path", f"{Path(path).name} is an empty file")
        return [self.file(path, size, source) for path, size in sizes.items() if size]

    def file(self, path: str, size: int, source: Source) -> SourceFile:
        """One file; a small one is hashed each time, since a look-up takes longer."""
        if size < _SMALL:
            with open(path, "rb") as stream:  # noqa: PTH123 - a Path for each of ten thousand files takes seconds
                content = stream.read()
            digest, compressed = hashlib.sha256(content).hexdigest(), compression_by(content[:16], path) is not None
        else:
            digest, compressed = self.store.digest(Path(path)), compression_of(path) is not None
        given = _partitions(Path(path), self.recipe.folder.absolute(), source.path) if source.partitions else ()
        return SourceFile(path, digest, size, tuple(given), compressed)

    def with_partitions(self, index: int, source: Source, found: FilesFound, files: list[SourceFile]) -> FilesFound:
        """The columns with those that folders give."""
        given = dict.fromkeys(column for file in files for column, _ in file.partitions)
        for column in given:
            if column in found.columns:
                message = f"the files have a column '{column}', and so do the names of their folders: set it to false, or rename one"
                self.problem(index, "partitions", message)
        return replace(found, columns={**found.columns, **dict.fromkeys(given, "VARCHAR")})

    def describe(self, index: int, source: Source, scan: Scan, plugin: SourcePlugin) -> FilesFound | None:
        """Columns and types: from the engine's reader, else from the rows that the plug-in yields. Both read every row."""
        if self.engine.reads(scan.format):
            try:
                return self.engine.describe(scan)
            except QueryError as error:
                if source.path.startswith(REMOTE):
                    self.problem(index, "path", f"{source.path} cannot be read: {error.reason}")
                    return None
        # The engine's reader refuses a file for one broken line; the plug-in reads the others.
        kinds: dict[str, set[str]] = {}
        refused = ""
        for file in scan.files:
            try:
                if file.compressed:
                    verify_compressed_file(file.path)
                reason = _add_kinds(kinds, plugin.rows(file.path), plugin.CELLS, scan.columns)
                refused = refused or reason
            except ValueError as error:
                shown = Path(file.path).name
                message = str(error)
                self.problem(index, "path", message if message.startswith(f"{shown}: ") else f"{shown}: {message}")
                return None
        if not kinds:
            what = f"has no row that can be read ({refused})" if refused else "has no rows"
            self.problem(index, "path", f"{source.path} {what}")
            return None
        return FilesFound({column: common_kind(found) for column, found in kinds.items()})

    def fields(
        self, index: int, source: Source, columns: Mapping[str, str], plugin: SourcePlugin
    ) -> Mapping[str, str] | None:
        named = layout_of(source.fields, columns) or {}
        if not set(named.values()) & set(columns) and (advice := self.delimiter(source, columns)):
            self.problem(index, "path", f"{source.path} {advice}")
            return None
        self.check_own_columns(index, source, columns)
        if are_preferences(source.fields, columns):
            self.problem(index, "path", f"{source.path}: {PREFERENCES}")
            return None
        fields = layout_of(source.fields, columns)
        if fields is None:
            known = ", ".join(list(columns)[:20])
            self.problem(
                index,
                "path",
                f"cannot tell which columns make a row; name them, as in 'fields: {{instruction: question, response: answer}}' or 'fields: {{messages: turns}}'. {source.path} has: {known}",
            )
            return None
        good = True
        optional = OPTIONAL if not isinstance(source.fields, Fields) else ()
        for field, column in list(fields.items()):
            if column not in columns and field in optional:
                del fields[field]
            elif column not in columns:
                hint = suggest(column, columns) or f"; there are: {', '.join(list(columns)[:20])}"
                self.problems.append(
                    self.recipe.problem(
                        ("sources", index, "fields", field), f"{source.path} has no column '{column}'{hint}"
                    )
                )
                good = False
            elif plugin.CELLS == "typed" and field in ROW_FIELDS and columns[column] != "VARCHAR":
                message = (
                    f"column '{column}' of {source.path} holds {columns[column]}, not texts: it cannot be the {field}"
                )
                self.problems.append(self.recipe.problem(("sources", index, "fields", field), message))
                good = False
        return fields if good else None

    def delimiter(self, source: Source, columns: Mapping[str, str]) -> str:
        """Which delimiter to write, where another one seems to be in the header; else an empty string."""
        kind = source.format or format_of(source.path)
        return delimiter_advice(columns) if kind in ("csv", "tsv") and source.header is not False else ""

    def check_own_columns(self, index: int, source: Source, columns: Mapping[str, str]) -> None:
        """Note a problem for each column of `keep` and of `fields.id` that is not there."""
        kept = source.keep if isinstance(source.keep, list) else []
        wanted: list[tuple[tuple[str | int, ...], str]] = [(("keep", each), column) for each, column in enumerate(kept)]
        if isinstance(source.fields, Fields) and source.fields.id is not None:
            wanted.append((("fields", "id"), source.fields.id))
        for place, column in wanted:
            if column not in columns:
                hint = suggest(column, columns) or f"; there are: {', '.join(list(columns)[:20])}"
                message = f"{source.path} has no column '{column}'{hint}"
                self.problems.append(self.recipe.problem(("sources", index, *place), message))

    def other_files(self) -> dict[str, str]:
        """Digests of tables of scores and of recorded replies."""
        digests: dict[str, str] = {}
        for grader_name, grader in self.recipe.text.graders.items():
            golden = grader.health.golden
            if golden is not None:
                self.add_digest(digests, golden.file, golden.file, ("graders", grader_name, "health", "golden", "file"))
            if grader.calibrate is not None:
                file = grader.calibrate.file
                self.add_digest(digests, file, file, ("graders", grader_name, "calibrate", "file"))
            if grader.table is not None:
                self.add_digest(digests, grader.table, grader.table, ("graders", grader_name, "table"))
            elif grader.model is not None and grader.plugin.RECORDED:
                self.add_digest(digests, grader.model, grader.model_name, ("graders", grader_name, "model"))
            elif grader.model is not None and grader.plugin.LOCAL:
                self.add_local_model(digests, grader.model, grader.model_name, ("graders", grader_name, "model"))
        training = self.recipe.text.training
        for word in ("base_model", "tokenizer") if training is not None else ():
            path = getattr(training, word)
            if isinstance(path, str):
                self.add_local_model(digests, path, path, ("training", word))
        if self.recipe.text.evaluation is not None:
            self.add_evaluation(digests, self.recipe.text.evaluation)
        return digests

    def add_evaluation(self, digests: dict[str, str], evaluation: Evaluation) -> None:
        """What an evaluation reads. A recipe without one imports none of it."""
        from alpaqual.execution.evaluation_inputs import evaluation_inputs, test_set_key

        for kind, key, path, place in evaluation_inputs(self.recipe, evaluation):
            add = self.add_digest if kind == "file" else self.add_local_model
            add(digests, key, path, place)
        for name in evaluation.named_test_sets:
            from alpaqual.execution.test_sets import load_test_set

            try:
                digests[test_set_key(name)] = load_test_set(self.recipe, name, offline=self.offline).digest
            except RecipeError as error:
                self.problems += error.problems

    def add_local_model(self, digests: dict[str, str], key: str, path: str, place: Any) -> None:
        """A model goes by what its files hold; one that is no path here goes by its name on the hub."""
        from alpaqual.llm.local import is_hub_name, model_digest

        target = self.recipe.folder / path
        if target.exists():
            try:
                digests[key] = model_digest(target, self.store.digest)
            except MachineError as error:
                self.problems.append(self.recipe.problem(place, str(error)))
        elif not is_hub_name(path):
            message = f"there is no model {target.name} (looked in {target.parent.resolve()})"
            self.problems.append(self.recipe.problem(place, message))

    def add_digest(self, digests: dict[str, str], key: str, path: str, place: Any) -> None:
        target = self.recipe.folder / path
        if target.is_dir():
            digests[key] = "+".join(self.store.digest(file) for file in sorted(target.glob("*.jsonl")))
        elif target.is_file():
            digests[key] = self.store.digest(target)
        else:
            self.problems.append(
                self.recipe.problem(place, f"there is no file {path} (looked in {self.recipe.folder.resolve()})")
            )


def read_options(source: Source) -> ReadOptions:
    """How the files of a source are to be read."""
    given: dict[str, Any] = {
        option.name: tuple(value) if isinstance(value, list) else value
        for option in fields_of(ReadOptions)
        if (value := getattr(source, option.name, None)) is not None
    }
    return ReadOptions(**given)


def _size(path: str) -> int | None:
    """Bytes of a file; None where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _saved(folders: Iterable[str], split: str | None) -> dict[str, int]:
    """Files, with their sizes, of those folders that the datasets library saved.

    Raises ValueError, with the folder's name, where one cannot be read.
    """
    found: list[Path] = []
    for folder in map(Path, folders):
        try:
            found += saved_files(folder, split) if is_saved(folder) else []
        except ValueError as error:
            raise ValueError(f"{folder.name}: {error}") from None
    return {str(file): file.stat().st_size for file in found}


def _partitions(path: Path, folder: Path, pattern: str) -> Iterable[tuple[str, str | None]]:
    """Column and value of each folder `column=value` below the recipe's, or below the first part with a glob sign."""
    start = folder
    if Path(pattern).is_absolute():
        parts = Path(pattern).parts
        first = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts) - 1)
        start = Path(*parts[:first])
    inside = path.relative_to(start).parts if path.is_relative_to(start) else path.parts
    for part in inside[:-1]:
        column, equals, value = part.partition("=")
        if equals and column:
            yield unquote(column), None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value)


def _add_kinds(
    kinds: dict[str, set[str]], rows: Iterable[tuple[Mapping[str, Any] | None, str]], cells: str, named: Iterable[str]
) -> str:
    """Add the types of the values of rows to those of each column; of texts, only columns that are named have some.

    Returns why the first row that cannot be read is refused.
    """
    first = ""
    for row, reason in rows:
        first = first or reason
        for column, value in (row or {}).items():
            found = kinds.setdefault(column, set())
            if value is not None and (cells != "text" or column in named):
                found.add(kind_of_text(value) if cells == "text" else _kind(value))
    return first


def _kind(value: Any) -> str:
    """SQL type of a JSON value."""
    if isinstance(value, int) and not isinstance(value, bool):
        return "BIGINT" if -(2**63) <= value < 2**63 else "HUGEINT" if abs(value) < 10**38 else "VARCHAR"
    return {bool: "BOOLEAN", float: "DOUBLE", str: "VARCHAR"}.get(type(value), "JSON")
