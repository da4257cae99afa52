"""The saved model, as `from_pretrained` reads it: safetensors, tokenizer, chat template, and a manifest."""

from __future__ import annotations

import gc
import hashlib
import json
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from alpaqual.disk import flush
from alpaqual.job import Job
from alpaqual.job_folder import MANIFEST
from alpaqual.trainers.fsdp_job.data import Data
from alpaqual.trainers.fsdp_job.loss import ModelWithLoss
from alpaqual.trainers.fsdp_job.metrics import Metrics, device_name
from alpaqual.trainers.fsdp_job.model import BaseModel, compute_dtype, lora_config
from alpaqual.trainers.fsdp_job.ranks import Ranks

_PACKAGES = ("alpaqual", "torch", "transformers", "safetensors", "numpy", "peft", "bitsandbytes", "liger-kernel")


def save_model(
    base: BaseModel, model: ModelWithLoss, tokenizer: Any, ranks: Ranks, folder: Path, manifest: dict[str, Any]
) -> None:
    """Gather the trained weights on rank 0 and write the model, through a temporary folder that is renamed.

    The manifest also gets the digest of each file. All ranks call this together.
    """
    job = base.job
    # Frozen weights are read again from the base model, as they were before bf16 or 4 bits; random ones exist only here.
    with_frozen = job.model.config is not None and job.lora.output == "merged"
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=not with_frozen)
    gathered = get_model_state_dict(model, options=options)
    if not ranks.is_first:
        return
    weights = {name.removeprefix("model."): weight for name, weight in gathered.items()}
    temporary = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    if job.method == "full":
        dtype = compute_dtype(job)
        _save_pretrained(model.model, temporary, {name: weight.to(dtype) for name, weight in weights.items()})
    else:
        _save_adapters(base, model.model.config, weights, temporary)
    tokenizer.save_pretrained(temporary)
    text = json.dumps({**manifest, "files": _digests(temporary)}, indent=1, ensure_ascii=False)
    (temporary / MANIFEST).write_text(text + "\n", encoding="utf-8")
    # On the disk before the last checkpoint is deleted.
    for path in (*temporary.iterdir(), temporary):
        flush(path)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)
    flush(folder.parent)


def make_manifest(job: Job, data: Data, metrics: Metrics, ranks: Ranks, held_out_loss: float | None) -> dict[str, Any]:
    """The manifest of a finished job, which the report reads too. `held_out_loss` is measured after training.

    `seconds` sums the steps; the cost counts every second since each attempt was launched.
    """
    steps = [line for line in metrics.lines if line["step"]]
    seconds, run_time, examples, held_out = metrics.step_seconds, metrics.run_time(), data.examples, data.held_out
    tokens = sum(line["tokens"] for line in steps)
    busy_seconds = [line["mfu"] * line["seconds"] for line in steps if line["mfu"] is not None]
    price = job.machine.price_per_gpu_hour
    return {
        "key": job.key,
        "recipe": job.recipe,
        "dataset": job.dataset,
        "data_sha256": job.data_sha256,
        "lineage": dict(job.lineage),
        "code_sha256": code_digest(),
        "versions": versions(),
        "training": {
            "rows": len(examples.all),
            "rows_truncated": len(examples.truncated),
            "rows_dropped": len(examples.dropped),
            "rows_held_out": data.rows_held_out,
            "tokens": tokens,
            "loss_tokens": sum(line["loss_tokens"] for line in steps),
            "steps": len(steps),
            "seconds": seconds,
            "tokens_per_second": tokens / seconds if seconds else None,
            "mfu": sum(busy_seconds) / seconds if busy_seconds and seconds else None,
            "processes": ranks.world_size,
            "device": device_name(ranks.device),
            "memory_bytes": max((line["memory_bytes"] or 0 for line in steps), default=0) or None,
            "loss_first": steps[0]["loss"] if steps else None,
            "loss_last": steps[-1]["loss"] if steps else None,
            "cost_usd": None if price is None else run_time / 3600 * ranks.world_size * price,
            "held_out": held_out
            and {"rows": len(held_out.all), "before": metrics.held_out_loss_before, "after": held_out_loss},
        },
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that train."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def code_digest() -> str:
    """sha256 of this trainer's files, in hexadecimal."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def _save_pretrained(model: Any, folder: Path, weights: dict[str, Any]) -> None:
    """Save `weights` with the model's config, without the attention kernel that training used."""
    attention, dtype = model.config._attn_implementation, model.config.dtype
    model.config._attn_implementation = None
    model.config.dtype = next(iter(weights.values())).dtype
    try:
        model.save_pretrained(folder, state_dict=weights)
    finally:
        model.config._attn_implementation, model.config.dtype = attention, dtype


def _save_adapters(base: BaseModel, config: Any, weights: dict[str, Any], folder: Path) -> None:
    """Save the adapters, or merge them into the base model's weights; of qlora, into those before quantization."""
    from peft import get_peft_model

    job, merged = base.job, base.job.lora.output == "merged"
    gc.collect()
    if merged and job.model.config is None:
        whole = base.read(torch.device("cpu"), torch.float32)
    else:
        whole = base.on_meta(config, torch.float32)
    model = get_peft_model(whole, lora_config(job.lora), autocast_adapter_dtype=False)
    found = model.get_base_model().load_state_dict(weights, strict=False, assign=True)
    wrong = [name for name in found.missing_keys if "lora_" in name] + found.unexpected_keys
    assert not wrong, wrong[:3]
    if not merged:
        model.save_pretrained(folder)
        return
    result = model.merge_and_unload()
    dtype = compute_dtype(job)
    _save_pretrained(result, folder, {name: weight.to(dtype) for name, weight in result.state_dict().items()})


def _digests(folder: Path) -> dict[str, str]:
    """sha256 of each file, by name."""
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
