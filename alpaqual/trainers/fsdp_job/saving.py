"""The trained model as `from_pretrained` reads it: safetensors, tokenizer, chat template, and a manifest of where it comes from."""

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
from alpaqual.trainers.fsdp_job.loss import Learner
from alpaqual.trainers.fsdp_job.measuring import Metrics, device_name
from alpaqual.trainers.fsdp_job.model import Base, dtype_of, lora_config
from alpaqual.trainers.fsdp_job.ranks import Ranks

_PACKAGES = ("alpaqual", "torch", "transformers", "safetensors", "numpy", "peft", "bitsandbytes", "liger-kernel")


def save_model(base: Base, learner: Learner, tokenizer: Any, ranks: Ranks, folder: Path, said: dict[str, Any]) -> None:
    """Write the model into `folder` (under another name until it is whole), with a manifest that has what is `said` of it."""
    job = base.job
    # Random weights lie nowhere else; others are read again, as they were before they became bf16 or 4 bits.
    drawn = job.model.config is not None and job.lora.output == "merged"
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=not drawn)
    weights = get_model_state_dict(learner, options=options)
    if not ranks.first:
        return
    weights = {name.removeprefix("model."): weight for name, weight in weights.items()}
    half = folder.with_name(f"{folder.name}.tmp")
    shutil.rmtree(half, ignore_errors=True)
    if job.method == "full":
        model: Any = learner.model
        kept = {name: weight.to(dtype_of(job)) for name, weight in weights.items()}
        _save(model, half, kept)
    else:
        _save_adapted(base, learner.model.config, weights, half)
    tokenizer.save_pretrained(half)
    manifest = {**said, "files": _digests(half)}
    (half / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    # On the disk before the last checkpoint goes.
    for path in (*half.iterdir(), half):
        flush(path)
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)
    flush(folder.parent)


def facts(job: Job, data: Data, metrics: Metrics, ranks: Ranks, after: float | None) -> dict[str, Any]:
    """What the manifest and the report say of a finished job.

    `seconds` are those of the steps that count; the cost is of every second since each attempt was started. `after` is the loss of held-out rows.
    """
    steps = [line for line in metrics.kept if line["step"]]
    seconds, lived, examples, held_out = metrics.spent, metrics.lived(), data.examples, data.held_out
    tokens = sum(line["tokens"] for line in steps)
    busy = [line["mfu"] * line["seconds"] for line in steps if line["mfu"] is not None]
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
            "rows_held_out": data.kept_out,
            "tokens": tokens,
            "loss_tokens": sum(line["loss_tokens"] for line in steps),
            "steps": len(steps),
            "seconds": seconds,
            "tokens_per_second": tokens / seconds if seconds else None,
            "mfu": sum(busy) / seconds if busy and seconds else None,
            "processes": ranks.world,
            "device": device_name(ranks.device),
            "memory_bytes": max((line["memory_bytes"] or 0 for line in steps), default=0) or None,
            "loss_first": steps[0]["loss"] if steps else None,
            "loss_last": steps[-1]["loss"] if steps else None,
            "cost_usd": None if price is None else lived / 3600 * ranks.world * price,
            "held_out": held_out and {"rows": len(held_out.all), "before": metrics.held_out_before, "after": after},
        },
    }


def versions() -> dict[str, str]:
    """The versions of what trains."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def code_digest() -> str:
    """sha256 over the files of this trainer, in hexadecimal."""
    whole = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        whole.update(f"{file.name}\0".encode() + file.read_bytes())
    return whole.hexdigest()


def _save(model: Any, folder: Path, weights: dict[str, Any] | None) -> None:
    attention, dtype = model.config._attn_implementation, model.config.dtype
    # What the kernel was called while training says nothing about the model.
    model.config._attn_implementation = None
    if weights is not None:
        model.config.dtype = next(iter(weights.values())).dtype
    try:
        model.save_pretrained(folder, state_dict=weights)
    finally:
        model.config._attn_implementation, model.config.dtype = attention, dtype


def _save_adapted(base: Base, config: Any, weights: dict[str, Any], folder: Path) -> None:
    """The adapters by themselves, or added to the weights that they were trained over (of qlora: to those before they became 4 bits)."""
    from peft import get_peft_model

    job, merged = base.job, base.job.lora.output == "merged"
    gc.collect()
    if merged and job.model.config is None:
        whole = base.whole(torch.device("cpu"), torch.float32)
    else:
        whole = base.empty(config, torch.float32)
    model = get_peft_model(whole, lora_config(job.lora), autocast_adapter_dtype=False)
    found = model.get_base_model().load_state_dict(weights, strict=False, assign=True)
    lost = [name for name in found.missing_keys if "lora_" in name] + found.unexpected_keys
    assert not lost, lost[:3]
    if not merged:
        model.save_pretrained(folder)
        return
    added = model.merge_and_unload()
    _save(added, folder, {name: weight.to(dtype_of(job)) for name, weight in added.state_dict().items()})


def _digests(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            found[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found
