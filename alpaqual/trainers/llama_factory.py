"""Exports a job to LLaMA-Factory: `config.yaml` for `llamafactory-cli train`, `dataset_info.json`, and `train.sh`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from alpaqual import training_prompts
from alpaqual.job import Job
from alpaqual.trainers import _exports as exports
from alpaqual.trainers._yaml import document

TESTED_VERSION = "LLaMA-Factory 0.9.5"
MERGE = ["llamafactory-cli", "export", "merge.yaml"]
# The template `alpaca` has no input and one fixed first sentence. With the sentence as each row's system prompt, and the input as
# part of the instruction, it renders Stanford's prompt, plus a newline after "### Response:".
_SENTENCES = tuple(
    ascii(text.partition("### ")[0]) for text in (training_prompts.WITH_INPUT, training_prompts.WITHOUT_INPUT)
)
_CONVERSION = (
    f'sentence = {_SENTENCES[0]} if row["input"] else {_SENTENCES[1]}',
    r'question = row["instruction"] + ("\n\n### Input:\n" + row["input"] if row["input"] else "")',
    'return {"system": sentence, "instruction": question, "input": "", "output": row["output"]}',
)
_SPLITS = ("train", "validation")
_SAVE = """
from datasets import Dataset, DatasetDict

target = Path({target})
if not target.is_dir():
    # Nodes share this folder: each writes one of its own, and the first to end gives it the name.
    part = Path(f"{{target}}.{{socket.gethostname()}}.part")
    DatasetDict({{split: Dataset.from_list(rows) for split, rows in found.items()}}).save_to_disk(part)
    try:
        part.rename(target)
    except OSError:
        shutil.rmtree(part)
"""
_ATTENTION = {"sdpa": "sdpa", "eager": "disabled", "flash_attention_2": "fa2"}


class Plugin:
    """Writes LLaMA-Factory's configuration."""

    VERSION = 1
    TRAINS = False

    def files(self, job: Job) -> Mapping[str, str]:
        """`config.yaml`, `prepare.py`, `train.sh`, and `dataset_info.json` or the module that tokenizes chat rows.

        `merge.yaml` where adapters are merged.

        Raises ValueError, with the setting, for a job that LLaMA-Factory cannot train.
        """
        _refuse(job)
        comment = exports.header(job, TESTED_VERSION, _train(job), MERGE, _notes(job))
        files = {
            "config.yaml": document(comment, _config(job)),
            **_data_files(job),
            "train.sh": exports.train_sh(job, [exports.PREPARE], _train(job), MERGE),
        }
        if exports.merges(job):
            files["merge.yaml"] = document(
                ["Written by alpaqual: merges the adapters into the weights."], _merge_config(job)
            )
        return files

    def command(self, job: Job) -> Sequence[str]:
        """Train on this node, in the folder of the files."""
        return exports.TRAIN


def _refuse(job: Job) -> None:
    """Raises ValueError, with the setting, for a job that LLaMA-Factory cannot train."""
    if job.text.too_long == "drop" and job.text.prompt == "alpaca":
        raise ValueError(
            "training.too_long: LLaMA-Factory cannot drop rows of the Alpaca prompt; set `too_long: truncate`, or leave longer rows out of "
            "the dataset"
        )
    if job.model.tokenizer is not None:
        raise ValueError(
            "training.tokenizer: LLaMA-Factory reads the tokenizer from the model's folder; put both in one folder "
            "and set training.base_model to it"
        )
    if job.method != "full" and job.precision == "fp32":
        raise ValueError(
            "training.precision: LLaMA-Factory computes with frozen weights in the dtype of their files; "
            f"set `precision: bf16` for `method: {job.method}`"
        )
    if any("," in target or target == "all" for target in job.lora.targets or ()):
        raise ValueError(
            "training.lora.targets: LLaMA-Factory splits them at commas, and reads `all` as every linear layer; "
            "list each layer"
        )
    if "${" in exports.base_model(job):
        raise ValueError("training.base_model: LLaMA-Factory reads `${` as a reference; rename the folder")


def _train(job: Job) -> list[str]:
    """The command with its launch settings in the environment: LLaMA-Factory itself calls torchrun."""
    names = {"FORCE_TORCHRUN": "1", "NNODES": job.launch.nodes, "NPROC_PER_NODE": job.launch.processes or 1}
    if job.launch.nodes > 1:
        host, port = exports.rendezvous(job)
        # With an id nodes need no rank, and all run the same command.
        names |= {"MASTER_ADDR": host, "MASTER_PORT": port, "RDZV_ID": exports.rendezvous_id(job)}
    return ["env", *(f"{name}={value}" for name, value in names.items()), "llamafactory-cli", "train", "config.yaml"]


def _config(job: Job) -> dict[str, Any]:
    held_out = {} if job.held_out is None else {"eval_dataset": "held_out", "do_eval": True}
    return {
        "stage": "sft",
        "do_train": True,
        **_model(job),
        **_adapters(job),
        "dataset_dir": ".",
        "dataset": "train",
        **held_out,
        "cutoff_len": job.text.max_length,
        **({"tokenized_path": _tokenized(job)} if job.text.prompt == "chat" else {}),
        "train_on_prompt": job.text.loss_on == "all",
        "packing": False,
        "neat_packing": False,
        **exports.trainer_arguments(job),
        "warmup_ratio": exports.warmup_ratio(job),
        "pure_bf16": False,
        **_performance(job),
    }


def _model(job: Job) -> dict[str, Any]:
    """The model and the template; `empty` leaves the tokenizer's own chat template, by which chat rows are tokenized."""
    template = "alpaca" if job.text.prompt == "alpaca" else "empty"
    return {"model_name_or_path": exports.base_model(job), "trust_remote_code": False, "template": template}


def _tokenized(job: Job) -> str:
    """The folder of chat rows as tokens, named by the job: LLaMA-Factory reads a folder that is there."""
    return f"tokenized-{job.key[:16] or 'rows'}"


def _data_files(job: Job) -> dict[str, str]:
    if job.text.prompt == "chat":
        return exports.chat_files(job, "LLaMA-Factory", _SPLITS, _SAVE.format(target=ascii(_tokenized(job))))
    return {
        "dataset_info.json": json.dumps(_datasets(job), indent=2) + "\n",
        "prepare.py": exports.prepare_py(job, "LLaMA-Factory", _CONVERSION),
    }


def _adapters(job: Job) -> dict[str, Any]:
    if job.method == "full":
        return {"finetuning_type": "full"}
    four_bits = {"quantization_bit": 4, "quantization_type": "nf4", "double_quantization": True}
    return {
        "finetuning_type": "lora",
        **(four_bits if job.method == "qlora" else {}),
        "lora_rank": job.lora.rank,
        "lora_alpha": exports.lora_alpha(job),
        "lora_dropout": job.lora.dropout,
        "lora_target": "all" if job.lora.targets is None else ",".join(job.lora.targets),
    }


def _performance(job: Job) -> dict[str, Any]:
    """Settings that change speed and memory only."""
    settings = {"flash_attn": _ATTENTION.get(job.machine.attention, "auto"), **exports.compile_settings(job)}
    if not exports.uses_fsdp(job):
        return {**settings, "disable_gradient_checkpointing": not exports.uses_checkpointing(job)}
    config = {"version": 2, **exports.fsdp_config(job)}
    return {
        **settings,
        "disable_gradient_checkpointing": True,
        "fsdp": "full_shard auto_wrap",
        "fsdp_config": config,
    }


def _datasets(job: Job) -> dict[str, Any]:
    """`dataset_info.json`, with fixed names: LLaMA-Factory splits names of datasets at commas."""
    columns = {"prompt": "instruction", "query": "input", "response": "output", "system": "system"}
    names = ["train"] if job.held_out is None else ["train", "held_out"]
    return {
        name: {"file_name": file, "formatting": "alpaca", "columns": columns}
        for name, file in zip(names, exports.PREPARED, strict=False)
    }


def _merge_config(job: Job) -> dict[str, Any]:
    return {
        **_model(job),
        "finetuning_type": "lora",
        "adapter_name_or_path": exports.OUTPUT,
        "export_dir": exports.MERGED,
        "export_device": "cpu",
    }


def _notes(job: Job) -> list[str]:
    if job.text.prompt == "alpaca":
        notes = [
            "prepare.py writes the rows so that the template `alpaca` renders Stanford Alpaca's prompt, with differences",
            '  that it has no setting for: a newline after "### Response:", two after the end of the response, which have',
            "  loss, and no begin-of-text token. Prompt the model as it was trained. The exports axolotl and trl have",
            "  exactly Stanford's prompt.",
            "Prompt and response are tokenized separately: with some tokenizers the response's first token differs.",
            "A row that is too long loses the end of its prompt, of its response, or of both.",
        ]
    else:
        notes = [
            *exports.chat_notes(job),
            "`template: empty` is not used for the rows. It leaves the tokenizer's own chat template as it is.",
        ]
    if job.precision == "bf16":
        notes.append("Weights are read as bf16, then kept in fp32: fp32 weights of a model are rounded once.")
    return [*notes, *exports.qlora_notes(job), *exports.replicas_notes(job, "LLaMA-Factory")]
