"""The files of a local model, and their digest."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from alpaqual.errors import MachineError
from alpaqual.values import Endpoint

_DECIDING = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "adapter_config.json",
    "tokenizer*.json",
    "tokenizer*.model",
    "*.tiktoken",
    "spiece.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.*",
)
_BASE = "base_model_name_or_path"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


_ADAPTERS = "adapter_config.json"


@dataclass(frozen=True)
class Place:
    """A folder in the Hugging Face layout, one GGUF file, or, with neither, a name on the Hugging Face hub.

    With `adapter`, a folder of PEFT's, that is the base model of the adapters.
    """

    name: str
    folder: Path | None = None
    gguf: Path | None = None
    adapter: Path | None = None


def is_hub_name(path: str) -> bool:
    """Whether a path that does not exist can be owner/name on the Hugging Face hub."""
    return (
        "/" in path and _HUB_NAME.fullmatch(path) is not None and not path.lower().endswith((".gguf", ".safetensors"))
    )


def place_of(endpoint: Endpoint) -> Place:
    """The place of an endpoint's model.

    Raises MachineError where the path does not exist or holds no model.
    """
    path = Path(endpoint.folder) / Path(endpoint.model).expanduser()
    if is_adapter(path):
        base = place_of(replace(endpoint, model=str(base_of(path))))
        if base.adapter is not None:
            raise MachineError(f"{path}: its base model is a folder of adapters; merge those into their own base first")
        return replace(base, adapter=path)
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise MachineError(
                f"{path} is not a model: name a .gguf file, or a folder with config.json and .safetensors"
            )
        return Place(endpoint.model, gguf=path)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise MachineError(f"{path} has no config.json, so it is not a model; of a GGUF model, name the .gguf file")
        if not any(path.glob("*.safetensors")):
            # Other weights are pickles, which can run code when they are read.
            raise MachineError(f"{path} has no .safetensors weights, and other formats are not read")
        return Place(endpoint.model, folder=path)
    if path.suffix.lower() == ".gguf" or not _HUB_NAME.fullmatch(endpoint.model):
        raise MachineError(f"no model at {path}")
    return Place(endpoint.model)


def model_digest(path: Path, digest: Callable[[Path], str]) -> str:
    """sha256, in hexadecimal, over the files that decide a local model's replies; independent of the folder's name.

    `digest` gives a file's own digest. Of a folder: weights, config, generation config, tokenizer and chat template, with
    their names; a GGUF file holds all of these. Of adapters: their own files, and the digest of their base model, or its name
    on the hub. Raises MachineError where there is no model.
    """
    if not path.exists():
        raise MachineError(f"no model at {path}")
    total = hashlib.sha256()
    adapter = is_adapter(path)
    for name, file in _files(path):
        if not adapter or name != _ADAPTERS:
            total.update(f"{name}\0{digest(file)}\n".encode())
    if adapter:
        base = base_of(path)
        settings = {key: value for key, value in _adapter_config(path).items() if key != _BASE}
        total.update(f"{_ADAPTERS}\0{json.dumps(settings, sort_keys=True)}\n".encode())
        total.update(f"{_BASE}\0{base if isinstance(base, str) else model_digest(base, digest)}\n".encode())
    return total.hexdigest()


def is_adapter(path: Path) -> bool:
    """Whether a folder holds adapters of PEFT's, and no whole model."""
    return (path / _ADAPTERS).is_file() and not any(path.glob("model*.safetensors"))


def base_of(adapter: Path) -> Path | str:
    """The base model of adapters: its path, or its name on the hub.

    A path that is not absolute is looked for beside the adapters, in the folders above, and in the current one. Raises
    MachineError where it is missing.
    """
    if not (adapter / "adapter_model.safetensors").is_file():
        raise MachineError(f"{adapter} has no adapter_model.safetensors, and other formats are not read")
    name = _adapter_config(adapter).get(_BASE)
    if not isinstance(name, str) or not name:
        raise MachineError(f"{adapter / _ADAPTERS} names no base model: set '{_BASE}' to a path or a name on the hub")
    folders = (adapter, *adapter.absolute().parents, Path())
    found = next((folder / name for folder in folders if (folder / name).exists()), None)
    if found is not None:
        return found.absolute()
    if not is_hub_name(name) and not _HUB_NAME.fullmatch(name):
        raise MachineError(f"the base model of the adapters {adapter} is not at {name}: set '{_BASE}' in {_ADAPTERS}")
    return name


def _adapter_config(adapter: Path) -> dict[str, Any]:
    try:
        found = json.loads((adapter / _ADAPTERS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MachineError(f"{adapter / _ADAPTERS} cannot be read: {error}") from None
    return found if isinstance(found, dict) else {}


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield "model.gguf", path
        return
    found = {file.name: file for pattern in _DECIDING for file in path.glob(pattern) if file.is_file()}
    if not found:
        raise MachineError(f"{path} holds no model")
    yield from sorted(found.items())
