"""Counts the parameters of a model from the headers of its files."""

from __future__ import annotations

import json
import math
from importlib.util import find_spec
from pathlib import Path

from alpaqual.llm._local_files import base_of, is_adapter


def count_weights(path: Path) -> int | None:
    """The number of parameters of a folder of safetensors or a GGUF file; of adapters, of their base model; None where it is unknown."""
    if is_adapter(path):
        base = base_of(path)
        return None if isinstance(base, str) else count_weights(base)
    if path.is_dir():
        return sum(_of_safetensors(file) for file in path.glob("*.safetensors")) or None
    if path.suffix.lower() == ".gguf" and find_spec("gguf") is not None:
        from gguf import GGUFReader

        return sum(int(tensor.n_elements) for tensor in GGUFReader(path).tensors)
    return None


def _of_safetensors(file: Path) -> int:
    # The format's header: eight bytes with the length of a JSON table, then the table.
    with file.open("rb") as read:
        table = json.loads(read.read(int.from_bytes(read.read(8), "little")))
    return sum(math.prod(entry["shape"]) for name, entry in table.items() if name != "__metadata__")
