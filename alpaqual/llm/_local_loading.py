"""Loads a local model's weights and tokenizer. Code beside the weights is never run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from alpaqual.errors import MachineError
from alpaqual.llm._local_files import Place

INSTALL = "pip install 'alpaqual[train]'"
INSTALL_PEFT = "pip install 'alpaqual[lora]'"
_NEEDED = ("torch", "transformers", "safetensors", "numpy")
_NEEDED_BY_GGUF = ("gguf", "accelerate")
_CONTEXT_KEYS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length")
_NO_LENGTH = 10**9
"""A tokenizer without a longest text has some larger number."""


@dataclass(frozen=True)
class Loaded:
    """A model in memory. `context` is its longest sequence in tokens, None without one; `device` is cuda or cpu."""

    model: Any
    tokenizer: Any
    device: str
    context: int | None


def require(place: Place) -> None:
    """Raise MachineError where a package that this model needs is missing."""
    needed = [*_NEEDED, *(_NEEDED_BY_GGUF if place.gguf else ()), *(("peft",) if place.adapter else ())]
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        install = INSTALL_PEFT if place.adapter else INSTALL
        raise MachineError(f"local/{place.adapter or place.name} needs {', '.join(missing)}: {install}")


def load(place: Place) -> Loaded:
    """Load a model in bf16 on CUDA where there is a GPU, else in fp32 on the CPU.

    Raises MachineError where it cannot be loaded whole.
    """
    require(place)
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = read_model(place, torch.bfloat16 if device == "cuda" else torch.float32)
    tokenizer = read_tokenizer(place)
    return Loaded(model.to(device).eval(), tokenizer, device, context_of(model.config, tokenizer))


def read_tokenizer(place: Place) -> Any:
    """The tokenizer of a model.

    Raises MachineError where it cannot be read.
    """
    from transformers import AutoTokenizer

    if place.adapter is not None and (place.adapter / "tokenizer_config.json").is_file():
        place = Place(place.name, folder=place.adapter)
    with _quiet(), _files(place) as (name, more), _explain_errors(place):
        tokenizer = AutoTokenizer.from_pretrained(name, **more)
        if place.gguf is not None and tokenizer.eos_token_id == tokenizer.bos_token_id:
            _set_special_tokens(tokenizer, place.gguf)
    return tokenizer


def read_config(place: Place) -> Any:
    """The configuration of a model.

    Raises MachineError where it cannot be read.
    """
    from transformers import AutoConfig

    require(place)
    with _quiet(), _files(place) as (name, more), _explain_errors(place):
        return AutoConfig.from_pretrained(name, **more)


def read_model(place: Place, dtype: Any, **more: Any) -> Any:
    """The weights as a causal language model of a torch dtype; `more` goes to `from_pretrained`.

    Raises MachineError where they cannot be read whole.
    """
    from transformers import AutoModelForCausalLM

    require(place)
    with _quiet(), _files(place) as (name, settings), _explain_errors(place):
        settings |= {"dtype": dtype, "use_safetensors": True, "output_loading_info": True, **more}
        # Named explicitly: a config may name an attention whose code is on the hub.
        for attention in ("sdpa", "eager"):
            try:
                model, found = AutoModelForCausalLM.from_pretrained(name, **settings, attn_implementation=attention)
                break
            except ValueError as error:
                if attention == "eager" or "attention" not in str(error):
                    raise
    if found["missing_keys"]:
        # transformers would initialise them at random.
        raise MachineError(f"{place.name}: the weights lack {len(found['missing_keys'])} tensors of the model")
    if caps_attention(model.config):
        model.set_attn_implementation("eager")
    if place.gguf is not None and (quantizer := getattr(model, "hf_quantizer", None)) is not None:
        # The weights are dequantized by now; the quantizer's mark would keep the model from being saved.
        quantizer.remove_quantization_config(model)
    return model if place.adapter is None else _with_adapters(model, place, place.adapter)


def _with_adapters(model: Any, place: Place, adapter: Path) -> Any:
    """The model with adapters merged into its weights.

    Raises MachineError where they do not fit.
    """
    import warnings

    from peft import PeftModel

    if getattr(model, "is_quantized", False):
        raise MachineError(f"{adapter}: adapters are not merged into 4-bit weights; name a base_model without adapters")
    words = len(read_tokenizer(place))
    if words > model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(words)
    with _quiet(), _explain_errors(Place(place.name, folder=adapter)), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        merged = PeftModel.from_pretrained(model, str(adapter), is_trainable=False).merge_and_unload()
    if missing := [str(each.message) for each in said if "missing adapter keys" in str(each.message)]:
        raise MachineError(f"{adapter}: the adapters do not fit their base model: {missing[0][:200]}")
    return merged


def caps_attention(config: Any) -> bool:
    """Whether a model caps attention logits, as Gemma 2 does.

    torch's kernel ignores the cap, and transformers before 5.23 selects that kernel for such a model without a warning.
    """
    return bool(getattr(config.get_text_config(), "attn_logit_softcapping", None))


def _set_special_tokens(tokenizer: Any, gguf: Path) -> None:
    """Set begin and end of text as the file names them: transformers 5.17 uses a llama's begin for both."""
    from gguf import GGUFReader

    reader = GGUFReader(gguf)
    for name in ("bos", "eos"):
        field = reader.get_field(f"tokenizer.ggml.{name}_token_id")
        if field is not None:
            setattr(tokenizer, f"{name}_token", tokenizer.convert_ids_to_tokens(int(field.parts[-1][0])))


@contextmanager
def _files(place: Place) -> Iterator[tuple[str, dict[str, Any]]]:
    """The arguments of `from_pretrained`: a name or folder, and keywords."""
    if place.gguf is None:
        yield (
            str(place.folder or place.name),
            {"local_files_only": place.folder is not None, "trust_remote_code": False},
        )
        return
    # Alone in a folder: other files beside it are not part of its digest.
    with tempfile.TemporaryDirectory(prefix="alpaqual-") as folder:
        Path(folder, "model.gguf").symlink_to(place.gguf.resolve())
        yield folder, {"local_files_only": True, "trust_remote_code": False, "gguf_file": "model.gguf"}


@contextmanager
def _explain_errors(place: Place) -> Iterator[None]:
    """Raise MachineError in place of errors while a model is read."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise MachineError(_load_error(place, error)) from error


def _load_error(place: Place, error: Exception) -> str:
    message = " ".join(str(error).split())[:300]
    if place.folder or place.gguf:
        return f"{place.folder or place.gguf} could not be loaded: {type(error).__name__}: {message}"
    return (
        f"there is no folder {place.name}, and the Hugging Face hub did not give a model of that name; check the path, or "
        f"fetch it where there is a network: hf download {place.name} --local-dir models/{place.name} ({message})"
    )


def context_of(config: Any, tokenizer: Any) -> int | None:
    """The longest sequence of a model in tokens; None without one."""
    config = config.get_text_config()
    for key in _CONTEXT_KEYS:
        length = getattr(config, key, None)
        if isinstance(length, int) and length > 0:
            return length
    length = tokenizer.model_max_length
    return int(length) if length < _NO_LENGTH else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence transformers on stderr, where alpaqual shows its own progress."""
    from transformers import modeling_gguf_pytorch_utils as gguf
    from transformers.utils import logging

    level, bars, bar = logging.get_verbosity(), logging.is_progress_bar_enabled(), getattr(gguf, "tqdm", None)
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if bar is not None:
        # This progress bar ignores the settings above.
        gguf.tqdm = lambda steps, **_: steps
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
        if bar is not None:
            gguf.tqdm = bar
