"""Exports a job to axolotl: `config.yaml` for `axolotl train`, and `train.sh`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alpaqual import training_prompts
from alpaqual.job import Job
from alpaqual.trainers import _exports as exports
from alpaqual.trainers._yaml import document

TESTED_VERSION = "axolotl 0.21.0"
MERGE = ["axolotl", "merge-lora", "config.yaml"]


class Plugin:
    """Writes axolotl's configuration."""

    VERSION = 1
    TRAINS = False

    def files(self, job: Job) -> Mapping[str, str]:
        """`config.yaml` and `train.sh`; for the chat prompt also `prepare.py`, which writes rows as tokens, and its module.

        Raises ValueError, with the setting, for a job that axolotl cannot train.
        """
        train = ["axolotl", "train", "config.yaml", "--launcher", "torchrun", "--", *exports.torchrun_options(job)]
        comment = exports.header(job, TESTED_VERSION, train, MERGE, _notes(job))
        files = {"config.yaml": document(comment, _config(job))}
        before = []
        if job.text.prompt == "chat":
            files |= exports.chat_files(job, "axolotl", exports.PREPARED, exports.LINES)
            before = [exports.PREPARE]
        files["train.sh"] = exports.train_sh(job, before, train, MERGE)
        return files

    def command(self, job: Job) -> Sequence[str]:
        """Train on this node, in the folder of the files."""
        return exports.TRAIN


def _config(job: Job) -> dict[str, Any]:
    rows, accumulation = exports.split_batch(job)
    tokenizer = exports.tokenizer(job)
    held_out = {} if job.held_out is None else {"test_datasets": [_dataset(job, job.held_out, exports.PREPARED[1])]}
    return {
        "base_model": exports.base_model(job),
        **({} if tokenizer is None else {"tokenizer_config": tokenizer}),
        "trust_remote_code": False,
        **({"chat_template": "tokenizer_default"} if job.text.prompt == "chat" else {}),
        "datasets": [_dataset(job, job.data, exports.PREPARED[0])],
        **held_out,
        "val_set_size": 0.0,
        # Named by the data's digest: axolotl's cache would serve other rows of the same path.
        "dataset_prepared_path": f"prepared/{job.data_sha256[:16] or 'rows'}",
        "output_dir": exports.OUTPUT,
        "sequence_len": job.text.max_length,
        "excess_length_strategy": job.text.too_long,
        "train_on_inputs": job.text.loss_on == "all",
        "sample_packing": False,
        "eval_sample_packing": False,
        "pad_to_sequence_len": False,
        "group_by_length": False,
        **_adapters(job),
        "micro_batch_size": rows,
        "gradient_accumulation_steps": accumulation,
        "eval_batch_size": rows,
        "num_epochs": job.steps.epochs,
        "optimizer": "adamw_torch_fused",
        "lr_scheduler": job.steps.schedule,
        "warmup_ratio": exports.warmup_ratio(job),
        **exports.schedule_settings(job),
        "tf32": False,
        **_performance(job),
        **exports.logging_settings(job),
        "auto_resume_from_checkpoints": True,
        "use_tensorboard": job.machine.tensorboard,
    }


def _dataset(job: Job, path: str, prepared: str) -> dict[str, Any]:
    if job.text.prompt == "chat":
        # Without a type axolotl takes input_ids, attention_mask and labels as they are.
        return {"path": prepared, "ds_type": "json", "split": "train"}
    # A user-defined type: axolotl's `alpaca` adds a newline after "### Response:", which Stanford's prompt does not have.
    prompt = {
        "system_prompt": "",
        "system_format": "{system}",
        "field_system": "system",
        "field_instruction": "instruction",
        "field_input": "input",
        "field_output": "output",
        "format": training_prompts.WITH_INPUT,
        "no_input_format": training_prompts.WITHOUT_INPUT,
    }
    return {"path": path, "ds_type": "json", "split": "train", "type": prompt}


def _adapters(job: Job) -> dict[str, Any]:
    if job.method == "full":
        return {}
    targets: dict[str, Any] = {"lora_target_linear": True}
    if job.lora.targets is not None:
        targets = {"lora_target_modules": list(job.lora.targets)}
    return {
        "adapter": job.method,
        **({"load_in_4bit": True} if job.method == "qlora" else {}),
        "lora_r": job.lora.rank,
        "lora_alpha": exports.lora_alpha(job),
        "lora_dropout": job.lora.dropout,
        **targets,
    }


def _performance(job: Job) -> dict[str, Any]:
    """Settings that change speed and memory only."""
    settings = exports.kernel_settings(job)
    if not exports.uses_fsdp(job):
        return {**settings, "gradient_checkpointing": exports.uses_checkpointing(job)}
    replicas = job.machine.replicas
    if replicas > 1:
        settings |= {"dp_replicate_size": replicas, "dp_shard_size": exports.world_size(job) // replicas}
    wrap = {"auto_wrap_policy": "TRANSFORMER_BASED_WRAP", "offload_params": False}
    return {**settings, "fsdp_version": 2, "fsdp_config": {**wrap, **exports.fsdp_config(job)}}


def _notes(job: Job) -> list[str]:
    if job.text.prompt == "alpaca":
        notes = [
            "The prompt is exactly Stanford Alpaca's (`type: alpaca` would add a newline to it), but prompt and response",
            "  are tokenized separately: with some tokenizers the response's first token differs.",
        ]
    else:
        notes = exports.chat_notes(job)
    if job.precision == "bf16":
        notes.append("axolotl keeps the trained weights in bf16, alpaqual in fp32: bf16 rounds small updates away.")
        notes.append("  `precision: fp32` avoids it, and needs more time and memory.")
    if exports.world_size(job) > 1:
        notes.append("The loss is averaged in each process separately: rows of a process with few tokens weigh more.")
    if job.steps.warmup_ratio:
        notes.append("The warm-up is rounded down to whole steps, and one step becomes two.")
    if job.method == "qlora":
        notes += [*exports.qlora_notes(job), *exports.replicas_notes(job, "axolotl")]
    return notes
