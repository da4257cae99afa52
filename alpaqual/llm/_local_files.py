"""The files of a local model, and their digest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

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
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class Place:
    """A folder in the Hugging Face layout, one GGUF file, or, with neither, a name on the Hugging Face hub."""

    name: str
    folder: Path | None = None
    gguf: Path | None = None


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
    their names; a GGUF file holds all of these. Raises MachineError where there is no model.
    """
    if not path.exists():
        raise MachineError(f"no model at {path}")
    total = hashlib.sha256()
    for name, file in _files(path):
        total.update(f"{name}\0{digest(file)}\n".encode())
    return total.hexdigest()


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield "model.gguf", path
        return
    found = {file.name: file for pattern in _DECIDING for file in path.glob(pattern) if file.is_file()}
    if not found:
        raise MachineError(f"{path} holds no model")
    yield from sorted(found.items())
