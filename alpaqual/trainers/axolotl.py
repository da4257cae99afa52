"""Exports a job to axolotl: `config.yaml` for `axolotl train`, and `train.sh`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alpaqual.job import Job
from alpaqual.trainers import _alpaca
from alpaqual.trainers import _exports as exports
from alpaqual.trainers._yaml import document

VERSION_READ = "axolotl 0.21.0"
MERGE = ["axolotl", "merge-lora", "config.yaml"]
_TURNS = (
    f"asked = {exports.asked()}",
    'return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": row["output"]}]}',
)


class Plugin:
    """Writes axolotl's configuration."""

    VERSION = 1
    TRAINS = False

    def files(self, job: Job) -> Mapping[str, str]:
        """`config.yaml` and `train.sh`; for the chat prompt also `prepare.py`, which writes rows as messages."""
        if job.text.prompt == "chat" and job.text.loss_on == "all":
            raise ValueError(
                "training.loss_on: with `prompt: chat` axolotl learns the text of turns, never the tokens of the "
                "template around them; take `loss_on: response`, or another export"
            )
        train = ["axolotl", "train", "config.yaml", "--launcher", "torchrun", "--", *exports.torchrun(job)]
        comment = exports.head(job, VERSION_READ, train, MERGE, _notes(job))
        files = {"config.yaml": document(comment, _values(job))}
        before = []
        if job.text.prompt == "chat":
            files["prepare.py"] = exports.prepare(job, "axolotl", _TURNS)
            before = [exports.PREPARE]
        files["train.sh"] = exports.script(job, before, train, MERGE)
        return files

    def command(self, job: Job) -> Sequence[str]:
        """What trains, run in the folder of one machine."""
        return ("bash", "train.sh")


def _values(job: Job) -> dict[str, Any]:
    rows, times = exports.batches(job)
    tokenizer = exports.tokenizer(job)
    held_out = {} if job.held_out is None else {"test_datasets": [_dataset(job, job.held_out, exports.PREPARED[1])]}
    bf16 = job.precision == "bf16"
    return {
        "base_model": exports.base_model(job),
        **({} if tokenizer is None else {"tokenizer_config": tokenizer}),
        "trust_remote_code": False,
        **({"chat_template": "tokenizer_default"} if job.text.prompt == "chat" else {}),
        "datasets": [_dataset(job, job.data, exports.PREPARED[0])],
        **held_out,
        "val_set_size": 0.0,
        # By the data's hash: axolotl would take what it prepared of other rows of the same path.
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
        "gradient_accumulation_steps": times,
        "eval_batch_size": rows,
        "num_epochs": job.steps.epochs,
        "optimizer": "adamw_torch_fused",
        "learning_rate": job.steps.learning_rate,
        "lr_scheduler": job.steps.schedule,
        "warmup_ratio": exports.warmup(job),
        "weight_decay": job.steps.weight_decay,
        # 0 is how transformers' trainer is told not to clip.
        "max_grad_norm": 0.0 if job.steps.clip is None else job.steps.clip,
        "seed": job.steps.seed,
        "bf16": bf16,
        "fp16": False,
        "tf32": False,
        **_machine(job),
        "logging_steps": 1,
        **exports.saving(job),
        **exports.evaluating(job),
        "auto_resume_from_checkpoints": True,
        "use_tensorboard": job.machine.tensorboard,
    }


def _dataset(job: Job, path: str, prepared: str) -> dict[str, Any]:
    if job.text.prompt == "chat":
        return {
            "path": prepared,
            "ds_type": "json",
            "split": "train",
            "type": "chat_template",
            "chat_template": "tokenizer_default",
            "field_messages": "messages",
            "message_property_mappings": {"role": "role", "content": "content"},
            "roles_to_train": ["assistant"],
            "train_on_eos": "turn",
        }
    # A type of our own: axolotl's `alpaca` puts a newline behind "### Response:", which Stanford's prompt has not.
    prompt = {
        "system_prompt": "",
        "system_format": "{system}",
        "field_system": "system",
        "field_instruction": "instruction",
        "field_input": "input",
        "field_output": "output",
        "format": _alpaca.WITH_INPUT,
        "no_input_format": _alpaca.WITHOUT_INPUT,
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
        "lora_alpha": exports.alpha(job),
        "lora_dropout": job.lora.dropout,
        **targets,
    }


def _machine(job: Job) -> dict[str, Any]:
    """What changes speed and memory alone."""
    machine = job.machine
    values: dict[str, Any] = {}
    if machine.attention in ("sdpa", "eager", "flash_attention_2"):
        values["attn_implementation"] = machine.attention
    if machine.compile is not None:
        values["torch_compile"] = machine.compile
    again = machine.activation_checkpointing is not False
    if not exports.sharded(job):
        return {**values, "gradient_checkpointing": again}
    if machine.replicas > 1:
        values["dp_replicate_size"] = machine.replicas
        values["dp_shard_size"] = exports.world(job) // machine.replicas
    return {
        **values,
        "fsdp_version": 2,
        "fsdp_config": {
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "reshard_after_forward": True,
            "offload_params": False,
            "cpu_ram_efficient_loading": False,
            "state_dict_type": "FULL_STATE_DICT",
            "activation_checkpointing": again,
        },
    }


def _notes(job: Job) -> list[str]:
    if job.text.prompt == "alpaca":
        notes = [
            "The prompt is Stanford Alpaca's to the letter (`type: alpaca` would add a newline to it), but prompt and",
            "  response are cut into tokens each for itself: with some tokenizers the response's first token differs.",
        ]
    else:
        notes = [
            "prepare.py writes the rows as messages (instruction, empty line, input; then the output).",
            "Learned are the text of the response and the end of its turn, no other token of the template.",
            "A tokenizer without a chat template is refused when training begins.",
        ]
    if job.precision == "bf16":
        notes.append(
            "axolotl loads the weights as bf16 and learns them so; alpaqual keeps those it learns in fp32. Small"
        )
        notes.append(
            "  steps get lost in the rounding. `precision: fp32` avoids it, and is slower and takes more memory."
        )
    if exports.world(job) > 1:
        notes.append("The loss is averaged in each process for itself: rows of a process with few tokens weigh more.")
    if job.steps.warmup_ratio:
        notes.append("The warm-up is rounded down to whole steps, and one step becomes two.")
    if job.method == "qlora":
        notes.append("Weights of 4 bits are NF4, quantized twice; more than one process each holds a whole model.")
        notes += exports.one_mesh(job, "axolotl")
    return notes
