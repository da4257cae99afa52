"""Exports a job to LLaMA-Factory: `config.yaml` for `llamafactory-cli train`, `dataset_info.json`, and `train.sh`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from alpaqual.job import Job
from alpaqual.trainers import _alpaca
from alpaqual.trainers import _exports as exports
from alpaqual.trainers._yaml import document

VERSION_READ = "LLaMA-Factory 0.9.5"
MERGE = ["llamafactory-cli", "export", "merge.yaml"]
# Its template `alpaca` knows no input and one first sentence. With the sentence given for each row, and the input as part of
# the instruction, it renders all of the prompt but the newline that it puts behind "### Response:".
_SENTENCES = tuple(ascii(text.partition("### ")[0]) for text in (_alpaca.WITH_INPUT, _alpaca.WITHOUT_INPUT))
_MADE = {
    "alpaca": (
        f'sentence = {_SENTENCES[0]} if row["input"] else {_SENTENCES[1]}',
        r'asked = row["instruction"] + ("\n\n### Input:\n" + row["input"] if row["input"] else "")',
        'return {"system": sentence, "instruction": asked, "input": "", "output": row["output"]}',
    ),
    "chat": (
        f"asked = {exports.asked()}",
        'return {"instruction": asked, "input": "", "output": row["output"]}',
    ),
}
_ATTENTION = {"sdpa": "sdpa", "eager": "disabled", "flash_attention_2": "fa2"}


class Plugin:
    """Writes LLaMA-Factory's configuration."""

    VERSION = 1
    TRAINS = False

    def files(self, job: Job) -> Mapping[str, str]:
        """`config.yaml`, `dataset_info.json`, `prepare.py` and `train.sh`; `merge.yaml` where adapters are merged."""
        _refuse(job)
        comment = exports.head(job, VERSION_READ, _train(job), MERGE, _notes(job))
        files = {
            "config.yaml": document(comment, _values(job)),
            "dataset_info.json": json.dumps(_datasets(job), indent=2) + "\n",
            "prepare.py": exports.prepare(job, "LLaMA-Factory", _MADE[job.text.prompt]),
            "train.sh": exports.script(job, [exports.PREPARE], _train(job), MERGE),
        }
        if exports.merges(job):
            files["merge.yaml"] = document(["Written by alpaqual: adds the adapters to the weights."], _merging(job))
        return files

    def command(self, job: Job) -> Sequence[str]:
        """What trains, run in the folder of one machine."""
        return ("bash", "train.sh")


def _refuse(job: Job) -> None:
    """Raises ValueError for what LLaMA-Factory has no way to do."""
    if job.text.too_long == "drop":
        raise ValueError(
            "training.too_long: LLaMA-Factory truncates, it drops no row; take `too_long: truncate`, or leave longer "
            "rows out of the dataset"
        )
    if job.model.tokenizer is not None:
        raise ValueError(
            "training.tokenizer: LLaMA-Factory reads the tokenizer that lies with the model; put both in one folder "
            "and name that as training.base_model"
        )
    if job.method != "full" and job.precision == "fp32":
        raise ValueError(
            "training.precision: LLaMA-Factory computes with frozen weights as they are stored, whatever it is told; "
            f"take `precision: bf16` for `method: {job.method}`"
        )
    if any("," in target or target == "all" for target in job.lora.targets or ()):
        raise ValueError(
            "training.lora.targets: LLaMA-Factory parts them by commas, and takes `all` for every linear layer; "
            "name each layer for itself"
        )
    if "${" in exports.base_model(job):
        raise ValueError("training.base_model: LLaMA-Factory reads `${` as a reference; rename the folder")


def _train(job: Job) -> list[str]:
    """The launch is by environment: LLaMA-Factory itself calls torchrun."""
    names = {"FORCE_TORCHRUN": "1", "NNODES": job.launch.nodes, "NPROC_PER_NODE": job.launch.processes or 1}
    if job.launch.nodes > 1:
        host, port = exports.rendezvous(job)
        # With an id the nodes meet by it and none needs a rank, so that all run the same command.
        names |= {"MASTER_ADDR": host, "MASTER_PORT": port, "RDZV_ID": job.key[:16] or "alpaqual"}
    return ["env", *(f"{name}={value}" for name, value in names.items()), "llamafactory-cli", "train", "config.yaml"]


def _values(job: Job) -> dict[str, Any]:
    rows, times = exports.batches(job)
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
        "train_on_prompt": job.text.loss_on == "all",
        "packing": False,
        "neat_packing": False,
        "output_dir": exports.OUTPUT,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": times,
        "per_device_eval_batch_size": rows,
        "num_train_epochs": float(job.steps.epochs),
        "optim": "adamw_torch",
        "learning_rate": job.steps.learning_rate,
        "lr_scheduler_type": job.steps.schedule,
        "warmup_ratio": exports.warmup(job),
        "weight_decay": job.steps.weight_decay,
        # 0 is how transformers' trainer is told not to clip.
        "max_grad_norm": 0.0 if job.steps.clip is None else job.steps.clip,
        "seed": job.steps.seed,
        "bf16": job.precision == "bf16",
        "fp16": False,
        "pure_bf16": False,
        **_machine(job),
        "logging_steps": 1,
        **exports.saving(job),
        **exports.evaluating(job),
        "report_to": "tensorboard" if job.machine.tensorboard else "none",
    }


def _model(job: Job) -> dict[str, Any]:
    """The model, and the template: without one LLaMA-Factory takes what it reads out of the tokenizer's."""
    template = {"template": "alpaca"} if job.text.prompt == "alpaca" else {}
    return {"model_name_or_path": exports.base_model(job), "trust_remote_code": False, **template}


def _adapters(job: Job) -> dict[str, Any]:
    if job.method == "full":
        return {"finetuning_type": "full"}
    four = {"quantization_bit": 4, "quantization_type": "nf4", "double_quantization": True}
    return {
        "finetuning_type": "lora",
        **(four if job.method == "qlora" else {}),
        "lora_rank": job.lora.rank,
        "lora_alpha": exports.alpha(job),
        "lora_dropout": job.lora.dropout,
        "lora_target": "all" if job.lora.targets is None else ",".join(job.lora.targets),
    }


def _machine(job: Job) -> dict[str, Any]:
    """What changes speed and memory alone."""
    machine = job.machine
    values: dict[str, Any] = {"flash_attn": _ATTENTION.get(machine.attention, "auto")}
    if machine.compile is not None:
        values["torch_compile"] = machine.compile
    again = machine.activation_checkpointing is not False
    values["disable_gradient_checkpointing"] = not again or exports.sharded(job)
    if exports.sharded(job):
        values["fsdp"] = "full_shard auto_wrap"
        values["fsdp_config"] = exports.fsdp_config(again)
    return values


def _datasets(job: Job) -> dict[str, Any]:
    """`dataset_info.json`. The names are ours: LLaMA-Factory parts names of datasets by commas."""
    columns = {"prompt": "instruction", "query": "input", "response": "output"}
    if job.text.prompt == "alpaca":
        columns["system"] = "system"
    names = ["train"] if job.held_out is None else ["train", "held_out"]
    return {
        name: {"file_name": file, "formatting": "alpaca", "columns": columns}
        for name, file in zip(names, exports.PREPARED, strict=False)
    }


def _merging(job: Job) -> dict[str, Any]:
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
            "prepare.py writes the rows so that the template `alpaca` renders Stanford Alpaca's prompt, but for what",
            '  cannot be told to it: a newline stands behind "### Response:", two stand behind the end of the response',
            "  and are learned with it, and nothing stands before the prompt where a tokenizer begins texts with a token",
            "  of its own. Ask the model as it was trained. The exports axolotl and trl have the prompt to the letter.",
        ]
    else:
        notes = [
            "No `template` is named: LLaMA-Factory reads one out of the tokenizer's chat template, and says so. Where",
            "  the tokenizer has none it trains on the bare text: stop it, and name one. prepare.py joins instruction",
            "  and input by an empty line.",
        ]
    notes.append("Prompt and response are cut into tokens each for itself: with some tokenizers the first differs.")
    notes.append("A longer row loses the end of its prompt, of its response, or of both; not the end alone.")
    if job.precision == "bf16":
        notes.append("Weights are read as bf16, then kept in fp32: what a model has in fp32 is rounded once.")
    if job.method == "qlora":
        notes.append("Weights of 4 bits are NF4, quantized twice; more than one process each holds a whole model.")
    return notes + exports.one_mesh(job, "LLaMA-Factory")
