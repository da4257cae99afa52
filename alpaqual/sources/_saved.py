"""Folders that the datasets library writes with `save_to_disk`: which Arrow files hold their rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_DATASET = "state.json"
_SPLITS = "dataset_dict.json"


def is_saved(folder: Path) -> bool:
    """Whether `save_to_disk` wrote this folder, for one dataset or for several splits."""
    return (folder / _DATASET).is_file() or (folder / _SPLITS).is_file()


def saved_files(folder: Path, split: str | None) -> list[Path]:
    """The Arrow files of a saved folder, in the order of its state.json.

    Raises ValueError, with what to do, where the split is not named or not there, or a file is missing.
    """
    if (folder / _SPLITS).is_file():
        splits = _names(_read(folder / _SPLITS).get("splits"))
        if split not in splits:
            found = f"no split '{split}'" if split else "several splits"
            raise ValueError(f"the folder has {found}: write 'split:' with one of {', '.join(splits)}")
        folder, split = folder / split, None
    state = _read(folder / _DATASET)
    if split is not None and split != state.get("_split"):
        raise ValueError("the folder holds one dataset and no splits: leave 'split' out")
    if state.get("_indices_data_files"):
        raise ValueError("the folder has an indices mapping: call flatten_indices() and save_to_disk() again")
    listed = state.get("_data_files")
    names = _names([item.get("filename") for item in listed] if isinstance(listed, list) else None)
    if missing := next((name for name in names if not (folder / name).is_file()), None):
        raise ValueError(f"{_DATASET} names {missing}, which is not there: copy the whole folder")
    return [folder / name for name in names]


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from None
    return value if isinstance(value, dict) else {}


def _names(given: Any) -> list[str]:
    """Names of files or folders directly inside the folder; a saved folder never names another place."""
    names = given if isinstance(given, list) else []
    for name in names:
        if not isinstance(name, str) or name != Path(name).name or name == "..":
            raise ValueError(f"it names {name!r}, which is not the name of a file inside the folder")
    if not names:
        raise ValueError("it names no files: write it again with save_to_disk()")
    return names
