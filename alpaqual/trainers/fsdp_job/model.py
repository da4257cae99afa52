"""The model: read, given adapters, sharded over all processes, and shown to be what was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from alpaqual.errors import MachineError
from alpaqual.job import Job, Lora
from alpaqual.llm._local_files import Place, place_of
from alpaqual.llm._local_loading import caps_attention, read_config, read_model, read_tokenizer
from alpaqual.trainers._packages import extra_of
from alpaqual.trainers.fsdp_job.loss import Learner
from alpaqual.trainers.fsdp_job.ranks import Ranks
from alpaqual.values import Endpoint


@dataclass(frozen=True)
class Base:
    """Where a job's model lies."""

    job: Job
    folder: Path

    @property
    def place(self) -> Place:
        """Of the weights. Raises MachineError where there are none."""
        model = self.job.model
        return place_of(Endpoint("local", str(model.name if model.path is None else self.folder / model.path)))

    def tokenizer(self) -> Any:
        """The tokenizer. Raises MachineError where there is none."""
        other = self.job.model.tokenizer
        if other is None:
            if self.job.model.config is not None:
                raise MachineError("a model with random weights needs a tokenizer: name one in training.tokenizer")
            return read_tokenizer(self.place)
        path = self.folder / other
        folder, gguf = path if path.is_dir() else None, path if path.is_file() else None
        return read_tokenizer(Place(other, folder, gguf))

    def whole(self, device: torch.device, dtype: torch.dtype) -> Any:
        """The model as one piece. Raises MachineError where it cannot be read whole."""
        config = self.job.model.config
        if config is None:
            return read_model(self.place, dtype)
        torch.manual_seed(self.job.steps.seed)
        with device:
            return _made(self.config(), dtype)

    def config(self) -> Any:
        """The model's configuration. Raises MachineError where there is none, or it is none of a language model."""
        settings = dict(self.job.model.config or {})
        if not settings:
            return read_config(self.place)
        from transformers import AutoConfig

        try:
            return AutoConfig.for_model(settings.pop("model_type"), **settings)
        except (KeyError, TypeError, ValueError) as error:
            raise MachineError(f"training.base_model.config is none that transformers knows: {error}") from None

    def empty(self, config: Any, dtype: torch.dtype) -> Any:
        """The model without memory (on the meta device)."""
        with torch.device("meta"):
            return _made(config, dtype)

    def outline(self, config: Any, dtype: torch.dtype) -> Any:
        """The same with its adapters."""
        with torch.device("meta"):
            return with_adapters(self.empty(config, dtype), self.job)

    def quantised(self, ranks: Ranks, dtype: torch.dtype) -> Any:
        """The model in 4 bits (NF4), whole on this process's device; 4-bit numbers are stored as `dtype`, so that no cast ever touches them."""
        from transformers import BitsAndBytesConfig

        require_package("bitsandbytes", "method: qlora")
        settings = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_quant_storage=dtype,
        )
        if self.job.model.config is not None or self.place.gguf is not None:
            raise MachineError(
                "method: qlora reads safetensors alone: name a folder or hub name as base_model, or use lora"
            )
        return read_model(self.place, dtype, quantization_config=settings, device_map={"": str(ranks.device)})


def _made(config: Any, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    attention = "eager" if caps_attention(config) else "sdpa"
    try:
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    except ValueError:
        # Some models have attention of their own alone.
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="eager")


def require_package(package: str, asked: str) -> None:
    """Raises MachineError where a package is missing that a setting asks for."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MachineError(f"{asked} needs {package}: pip install 'alpaqual[{extra_of(package)}]'")


def dtype_of(job: Job) -> torch.dtype:
    """What a job computes with."""
    return torch.bfloat16 if job.precision == "bf16" else torch.float32


def with_adapters(model: Any, job: Job) -> Any:
    """The model, with adapters in its linear layers and its own weights frozen where a job asks for them. In place.

    The first weights of adapters, in fp32, are the same on every process and in every run. Raises MachineError.
    """
    if job.method == "full":
        return model
    require_package("peft", f"method: {job.method}")
    from peft import get_peft_model

    torch.manual_seed(job.steps.seed)
    model = get_peft_model(model, lora_config(job.lora), autocast_adapter_dtype=False).get_base_model()
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            weight.data = weight.data.to(torch.float32)
            assert "lora_" in name
    return model


def lora_config(lora: Lora) -> Any:
    """peft's settings of adapters."""
    from peft import LoraConfig

    targets = "all-linear" if lora.targets is None else list(lora.targets)
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


def blocks(model: nn.Module) -> list[nn.Module]:
    """The layers that are sharded, and held whole, one at a time."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    found = [module for module in model.modules() if type(module).__name__ in names]
    if found:
        return found
    lists = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=[])


def build(
    base: Base, config: Any, ranks: Ranks, rows: Sequence[Sequence[int]], checkpointing: bool
) -> tuple[Learner, torch.Tensor]:
    """The sharded model; and what it said of some rows of tokens, each by itself, before it was sharded: logits (tokens, vocabulary).

    Trained weights are kept in fp32, frozen ones as they are computed with. Raises MachineError.
    """
    job = base.job
    compute = dtype_of(job)
    policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=torch.float32)
    if job.method == "qlora":
        learner = Learner(with_adapters(base.quantised(ranks, compute), job))
        for weight in learner.parameters():
            if weight.requires_grad:
                dist.broadcast(weight.data, src=0)
        said = apart(learner.model, rows)
        _shard(learner, ranks, policy, checkpointing)
        return learner, said
    # Random weights are made where they are needed: drawing billions of numbers on a CPU takes minutes.
    room = ranks.device if job.model.config is not None else torch.device("cpu")
    stored = torch.float32 if job.method == "full" else compute
    whole = with_adapters(base.whole(room, stored), job) if ranks.first else None
    said = ranks.told(None if whole is None else apart(whole, rows).cpu())
    learner = Learner(base.outline(config, stored))
    _shard(learner, ranks, policy, checkpointing)
    learner.to_empty(device=ranks.device)
    learner.model.tie_weights()
    weights = {f"model.{name}": weight for name, weight in whole.state_dict().items()} if whole is not None else {}
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=True)
    set_model_state_dict(learner, weights, options=options)
    _copy_buffers(learner, whole, ranks)
    return learner, said.to(ranks.device)


def set_eval_mode(model: nn.Module) -> None:
    """Make the model answer without dropout."""
    model.eval()
    for module in model.modules():
        # On a CPU a 4-bit layer that is not being trained lays its weights out anew, for good, and sharding loses track of them.
        if type(module).__name__ == "Linear4bit":
            module.train()


def apart(model: Any, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits (tokens of all rows, vocabulary) in fp32, each row read by itself."""
    device = next(model.parameters()).device
    set_eval_mode(model)
    found = [model(input_ids=torch.tensor([row], device=device), use_cache=False).logits[0].detach() for row in rows]
    return torch.cat(found).float()


def _shard(learner: Learner, ranks: Ranks, policy: MixedPrecisionPolicy, checkpointing: bool) -> None:
    for block in blocks(learner.model):
        if checkpointing:
            block.forward = _recomputed(block.forward)
        fully_shard(block, mesh=ranks.mesh, mp_policy=policy)
    fully_shard(learner, mesh=ranks.mesh, mp_policy=policy)
    check_sharded(learner, ranks)


def _recomputed(forward: Any) -> Any:
    # A function of its own, not functools.partial: without a Python frame to begin with nothing would be compiled.
    def twice(*values: Any, **words: Any) -> Any:
        return checkpoint(forward, *values, use_reentrant=False, **words)

    return twice


def compile_layers(model: nn.Module, wanted: bool | None, ranks: Ranks) -> str:
    """Compile each layer. Where that was left to us (`wanted` is None) and cannot be done here, none is, and why is told."""
    if wanted is None:
        # What one process cannot do none does.
        reasons = [reason for reason in ranks.gathered(_why_not_compiled(ranks.device)) if reason]
        if reasons:
            return f"layers are not compiled, which costs speed and memory: {reasons[0]}"
    # Layers share their code, and lengths, gradients and kinds of attention make variants of it: eight are not enough, and what
    # is over the limit would never be compiled. torch 2.6 knows the older name alone.
    limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
    setattr(torch._dynamo.config, limit, 64)
    for block in blocks(model):
        block.compile()
    return ""


def _why_not_compiled(device: torch.device) -> str:
    """What torch says where it can compile nothing: images that only run programs often bring no C compiler."""
    try:
        torch.compile(nn.functional.silu)(torch.ones(8, device=device))
    except Exception as error:
        return " ".join(str(error).split())[:200]
    return ""


def check_sharded(learner: nn.Module, ranks: Ranks) -> None:
    """Raises AssertionError where a trained weight is not spread over all processes: its gradient would be each one's own."""
    trained = {name: weight for name, weight in learner.named_parameters() if weight.requires_grad}
    whole = [
        name for name, weight in trained.items() if not isinstance(weight, DTensor) or weight.device_mesh != ranks.mesh
    ]
    spread = [name for name, weight in trained.items() if name not in whole and not weight.placements[-1].is_shard()]
    assert trained and not whole and not spread, f"not sharded: {(whole or spread or ['anything'])[:5]}"


def _copy_buffers(learner: Learner, whole: Any, ranks: Ranks) -> None:
    """Tables that no checkpoint holds (rotary frequencies): nothing else fills them after a model was made without memory."""
    source: Mapping[str, torch.Tensor] = dict(whole.named_buffers()) if whole is not None else {}
    for name, buffer in learner.model.named_buffers():
        if ranks.first:
            buffer.copy_(source[name])
        dist.broadcast(buffer, src=0)
    empty = [name for name, each in learner.state_dict(keep_vars=True).items() if each.is_meta]
    assert not empty, f"never filled: {empty[:5]}"
