"""The files of datasets: what the store has, under which names the run folder shows it, and what training reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from alpaqual.execution.folder import DATASETS
from alpaqual.plan.facts import WriteFacts, WrittenFile, convert_facts
from alpaqual.plan.plan import Plan
from alpaqual.plan.selecting import SelectStage
from alpaqual.plan.stage import Export, fingerprint
from alpaqual.plan.writing import WriteStage
from alpaqual.recipe.dataset_files import file_name
from alpaqual.store.store import Result
from alpaqual.store.typed_rows import Columns, write_arrow, write_parquet

_ARROW = "data-00000-of-00001.arrow"


def exported_file(stage: SelectStage, result: Result) -> Path:
    """The JSON Lines that a selection left in the store."""
    export = next(statement for statement in stage.statements if isinstance(statement, Export))
    return result.folder / f"{export.table.name}.jsonl"


def shown_files(plan: Plan, results: Mapping[str, Result]) -> dict[str, Path]:
    """The stored files of all datasets, by their names in the run folder."""
    found: dict[str, Path] = {}
    for selecting in plan.of(SelectStage):
        writing = plan.find(WriteStage, selecting.dataset)
        if writing is not None and writing.name in results:
            result = results[writing.name]
            facts = convert_facts(result.facts, WriteFacts)
            found |= {f"{DATASETS}/{file.name}": result.folder / file.stored for file in facts.files}
        elif writing is None and selecting.name in results:
            found[f"{DATASETS}/{selecting.dataset}.jsonl"] = exported_file(selecting, results[selecting.name])
    return found


def training_files(plan: Plan, results: Mapping[str, Result]) -> dict[str, Path]:
    """The JSON Lines that training reads, by the names that jobs have for them: of each dataset, and of each split."""
    found: dict[str, Path] = {}
    for selecting in plan.of(SelectStage):
        if selecting.name in results:
            found[f"{selecting.dataset}.jsonl"] = exported_file(selecting, results[selecting.name])
    for writing in plan.of(WriteStage):
        if writing.name in results:
            found |= split_files(writing, results[writing.name])
    return found


def split_files(stage: WriteStage, result: Result) -> dict[str, Path]:
    """The JSON Lines of each split of a dataset that training reads, by the names that jobs have for them."""
    splits = convert_facts(result.facts, WriteFacts).splits
    return {f"{stage.dataset}.{each.split}.jsonl": result.folder / each.lines for each in splits}


def files_of(stage: WriteStage, folder: Path, lines: Mapping[str, Path]) -> list[WrittenFile]:
    """Write the files of a dataset of its lines, by split; the split is empty where it has none."""
    if stage.file == "jsonl":
        return [WrittenFile(_name(stage, split), path.name) for split, path in lines.items()]
    columns = Columns.of(lines.values())
    if stage.file == "parquet":
        return [_parquet(stage, columns, split, path) for split, path in lines.items()]
    return list(_saved(stage, folder, columns, lines))


def _parquet(stage: WriteStage, columns: Columns, split: str, lines: Path) -> WrittenFile:
    target = lines.with_suffix(".parquet")
    write_parquet(columns, lines, target)
    return WrittenFile(_name(stage, split), target.name)


def _saved(stage: WriteStage, folder: Path, columns: Columns, lines: Mapping[str, Path]) -> Iterator[WrittenFile]:
    """Write what `save_to_disk` of the datasets library writes. Features are those of the Arrow schema."""
    if stage.splits:
        yield _json(folder, f"{stage.dataset}/dataset_dict.json", {"splits": list(stage.splits)})
    for split, path in lines.items():
        target = path.with_suffix(".arrow")
        write_arrow(columns, path, target)
        inside = _name(stage, split)
        yield WrittenFile(f"{inside}/{_ARROW}", target.name)
        state: dict[str, Any] = {
            "_data_files": [{"filename": _ARROW}],
            "_fingerprint": fingerprint([stage.fingerprint, split])[:16],
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": split or None,
        }
        yield _json(folder, f"{inside}/state.json", state)
        yield _json(
            folder, f"{inside}/dataset_info.json", {"citation": "", "description": "", "homepage": "", "license": ""}
        )


def _json(folder: Path, name: str, value: Any) -> WrittenFile:
    stored = name.replace("/", " ")
    (folder / stored).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    return WrittenFile(name, stored)


def _name(stage: WriteStage, split: str) -> str:
    return file_name(stage.dataset, stage.file, split or None)
