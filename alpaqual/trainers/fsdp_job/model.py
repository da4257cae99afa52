"""The model: read on rank 0, given adapters, sharded over all ranks with FSDP2, and its layers compiled."""

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
from alpaqual.trainers.fsdp_job.loss import ModelWithLoss
from alpaqual.trainers.fsdp_job.ranks import Ranks
from alpaqual.trainers.fsdp_job.reference import Reference, compute_reference
from alpaqual.values import Endpoint


@dataclass(frozen=True)
class BaseModel:
    """The model that a job starts from. Paths are relative to `folder`."""

    job: Job
    folder: Path

    @property
    def place(self) -> Place:
        """The folder, GGUF file or hub name of the weights. Raises MachineError where there are none."""
        model = self.job.model
        return place_of(Endpoint("local", str(model.name if model.path is None else self.folder / model.path)))

    def tokenizer(self) -> Any:
        """Read the tokenizer. Raises MachineError where there is none."""
        other = self.job.model.tokenizer
        if other is None:
            if self.job.model.config is not None:
                raise MachineError("a model with random weights needs a tokenizer: name one in training.tokenizer")
            return read_tokenizer(self.place)
        path = self.folder / other
        folder, gguf = path if path.is_dir() else None, path if path.is_file() else None
        return read_tokenizer(Place(other, folder, gguf))

    def config(self) -> Any:
        """Read the model's configuration. Raises MachineError where it is missing or no language model's."""
        settings = dict(self.job.model.config or {})
        if not settings:
            return read_config(self.place)
        from transformers import AutoConfig

        try:
            return AutoConfig.for_model(settings.pop("model_type"), **settings)
        except (KeyError, TypeError, ValueError) as error:
            raise MachineError(f"training.base_model.config: transformers does not know it: {error}") from None

    def read(self, device: torch.device, dtype: torch.dtype) -> Any:
        """Read the whole model, or draw its random weights on `device`. Raises MachineError."""
        if self.job.model.config is None:
            return read_model(self.place, dtype)
        torch.manual_seed(self.job.steps.seed)
        with device:
            return _from_config(self.config(), dtype)

    def read_quantized(self, ranks: Ranks, dtype: torch.dtype) -> Any:
        """Read the whole model in 4 bits (NF4) on this rank's device; 4-bit weights are stored as `dtype`, so FSDP never casts them."""
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
                "method: qlora reads safetensors only: name a folder or hub name as base_model, or use lora"
            )
        return read_model(self.place, dtype, quantization_config=settings, device_map={"": str(ranks.device)})

    def on_meta(self, config: Any, dtype: torch.dtype) -> Any:
        """The model on the meta device, without adapters."""
        with torch.device("meta"):
            return _from_config(config, dtype)

    def on_meta_with_adapters(self, config: Any, dtype: torch.dtype) -> Any:
        """The model on the meta device, with adapters where the job trains them."""
        with torch.device("meta"):
            return add_adapters(self.on_meta(config, dtype), self.job)


def _from_config(config: Any, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM

    attention = "eager" if caps_attention(config) else "sdpa"
    try:
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
    except ValueError:
        # Some models have only an attention of their own.
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="eager")


def require_package(package: str, setting: str) -> None:
    """Raises MachineError where a package that a setting needs is not installed."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MachineError(f"{setting} needs {package}: pip install 'alpaqual[{extra_of(package)}]'")


def compute_dtype(job: Job) -> torch.dtype:
    """The dtype of forward and backward pass."""
    return torch.bfloat16 if job.precision == "bf16" else torch.float32


def add_adapters(model: Any, job: Job) -> Any:
    """Freeze the model and add LoRA adapters in place; `method: full` returns it unchanged.

    Adapters are in fp32 and start from the same weights on every rank and in every run. Raises MachineError.
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
    """peft's configuration of the adapters."""
    from peft import LoraConfig

    targets = "all-linear" if lora.targets is None else list(lora.targets)
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The transformer layers: the units of FSDP, of activation checkpointing and of compilation."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    found = [module for module in model.modules() if type(module).__name__ in names]
    if found:
        return found
    lists = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=[])


def build_sharded(
    base: BaseModel, config: Any, ranks: Ranks, rows: Sequence[Sequence[int]], checkpointing: bool
) -> tuple[ModelWithLoss, Reference]:
    """Build the sharded model, and the reference: what the whole model computed for `rows` of token ids.

    Trained weights are kept in fp32, frozen ones in the compute dtype. Raises MachineError.
    """
    job = base.job
    dtype = compute_dtype(job)
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    if job.method == "qlora":
        # Every rank reads the whole 4-bit model; the adapters of rank 0 are broadcast.
        model = ModelWithLoss(add_adapters(base.read_quantized(ranks, dtype), job))
        for weight in model.parameters():
            if weight.requires_grad:
                dist.broadcast(weight.data, src=0)
        reference = compute_reference(model.model, rows)
        _shard(model, ranks, policy, checkpointing)
        return model, reference

    # Rank 0 reads the whole model. Random weights are drawn on the device: billions of them take minutes on a CPU.
    device = ranks.device if job.model.config is not None else torch.device("cpu")
    stored = torch.float32 if job.method == "full" else dtype
    whole = add_adapters(base.read(device, stored), job) if ranks.is_first else None
    reference = ranks.broadcast_from_rank0(None if whole is None else compute_reference(whole, rows).to("cpu"))

    # Every rank shards an empty model; then the weights of rank 0 are broadcast, shard by shard.
    model = ModelWithLoss(base.on_meta_with_adapters(config, stored))
    _shard(model, ranks, policy, checkpointing)
    model.to_empty(device=ranks.device)
    model.model.tie_weights()
    weights = {f"model.{name}": weight for name, weight in whole.state_dict().items()} if whole is not None else {}
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=True)
    set_model_state_dict(model, weights, options=options)
    _broadcast_buffers(model, whole, ranks)
    return model, reference.to(ranks.device)


def _shard(model: ModelWithLoss, ranks: Ranks, policy: MixedPrecisionPolicy, checkpointing: bool) -> None:
    """Shard each layer, then the rest, with FSDP2; wrap layers in activation checkpointing where asked."""
    for layer in layers_of(model.model):
        if checkpointing:
            layer.forward = _checkpointed(layer.forward)
        fully_shard(layer, mesh=ranks.mesh, mp_policy=policy)
    fully_shard(model, mesh=ranks.mesh, mp_policy=policy)
    check_sharded(model, ranks)


def _checkpointed(forward: Any) -> Any:
    # A function, not functools.partial: torch.compile needs a Python frame to start from.
    def recompute(*values: Any, **options: Any) -> Any:
        return checkpoint(forward, *values, use_reentrant=False, **options)

    return recompute


def compile_layers(model: nn.Module, wanted: bool | None, ranks: Ranks) -> str:
    """Compile each layer in place. Returns why none was compiled, or an empty text.

    `wanted` is None where the recipe leaves it open: then layers stay as they are where torch cannot compile on some rank.
    """
    if wanted is None:
        reasons = [reason for reason in ranks.all_gather(_why_not_compiled(ranks.device)) if reason]
        if reasons:
            return f"layers are not compiled, which costs speed and memory: {reasons[0]}"
    # All layers share one code object, and lengths, gradients and kinds of attention each add a variant: the default limit of
    # eight is too low, and code over the limit runs uncompiled. torch 2.6 knows only the older name.
    limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
    setattr(torch._dynamo.config, limit, 64)
    for layer in layers_of(model):
        layer.compile()
    return ""


def _why_not_compiled(device: torch.device) -> str:
    """The error of compiling a small function: container images often have no C compiler."""
    try:
        torch.compile(nn.functional.silu)(torch.ones(8, device=device))
    except Exception as error:
        return " ".join(str(error).split())[:200]
    return ""


def check_sharded(model: nn.Module, ranks: Ranks) -> None:
    """Raises AssertionError where a trained weight is not sharded over all ranks: its gradient would not be reduced."""
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    local = [
        name for name, weight in trained.items() if not isinstance(weight, DTensor) or weight.device_mesh != ranks.mesh
    ]
    whole = [name for name, weight in trained.items() if name not in local and not weight.placements[-1].is_shard()]
    assert trained and not local and not whole, f"not sharded: {(local or whole or ['anything'])[:5]}"


def _broadcast_buffers(model: ModelWithLoss, whole: Any, ranks: Ranks) -> None:
    """Broadcast buffers that no state dict holds (rotary frequencies): `to_empty` left them undefined."""
    source: Mapping[str, torch.Tensor] = dict(whole.named_buffers()) if whole is not None else {}
    for name, buffer in model.model.named_buffers():
        if ranks.is_first:
            buffer.copy_(source[name])
        dist.broadcast(buffer, src=0)
    empty = [name for name, each in model.state_dict(keep_vars=True).items() if each.is_meta]
    assert not empty, f"never filled: {empty[:5]}"
