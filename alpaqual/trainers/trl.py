"""Exports a job to TRL: `config.yaml` in its own words, `train.py` that calls its SFTTrainer, and `train.sh`.

`trl sft --config` cannot fill rows into a prompt, so `train.py` stands in for it: the same parser and trainer, and the rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alpaqual.job import Job
from alpaqual.trainers import _alpaca
from alpaqual.trainers import _exports as exports
from alpaqual.trainers._yaml import document

VERSION_READ = "TRL 1.16.0"
MERGE = ["python3", "merge.py"]

_TRAIN = '''\
"""Trains with TRL as config.yaml says: torchrun train.py --config config.yaml. Written by alpaqual."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import AutoTokenizer
from transformers.trainer_utils import get_last_checkpoint
from trl import ModelConfig, SFTConfig, SFTTrainer, TrlParser, get_peft_config, get_quantization_config

# The prompt of Stanford Alpaca's train.py.
WITH_INPUT = {with_input}
WITHOUT_INPUT = {without_input}


@dataclass
class Rows:
    """What TRL has no words for."""

    train_file: str
    prompt: str
    too_long: str
    held_out_file: str | None = None
    tokenizer: str | None = None


def made(row: dict[str, str], prompt: str) -> dict[str, Any]:
    """A row as TRL's prompt and completion."""
    if prompt == "alpaca":
        template = WITH_INPUT if row["input"] else WITHOUT_INPUT
        asked = template.format(instruction=row["instruction"], input=row["input"])
        return {{"prompt": asked, "completion": row["output"]}}
    asked = {asked}
    return {{
        "prompt": [{{"role": "user", "content": asked}}],
        "completion": [{{"role": "assistant", "content": row["output"]}}],
    }}


def tokens(one: dict[str, Any], tokenizer: Any) -> int:
    """The length of a row, as TRL will cut it."""
    if isinstance(one["prompt"], str):
        return len(tokenizer(one["prompt"] + one["completion"] + tokenizer.eos_token)["input_ids"])
    text = tokenizer.apply_chat_template(one["prompt"] + one["completion"], tokenize=False)
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def read(file: str, rows: Rows, tokenizer: Any, longest: int) -> Dataset:
    with Path(file).open(encoding="utf-8") as lines:
        found = [made(json.loads(line), rows.prompt) for line in lines]
    kept = [one for one in found if rows.too_long != "drop" or tokens(one, tokenizer) <= longest]
    print(f"{{file}}: {{len(kept)}} rows, {{len(found) - len(kept)}} more are longer than {{longest}} tokens and dropped")
    return Dataset.from_list(kept)


def main() -> None:
    parser = TrlParser((Rows, SFTConfig, ModelConfig))
    rows, training, model = parser.parse_args_and_config()
    training.model_init_kwargs = {{"dtype": model.dtype, "attn_implementation": model.attn_implementation}}
    tokenizer = AutoTokenizer.from_pretrained(rows.tokenizer or model.model_name_or_path)
    if rows.prompt == "chat" and not tokenizer.chat_template:
        raise SystemExit("The tokenizer has no chat template; name another as training.tokenizer, or take prompt: alpaca")
    held_out = None
    if rows.held_out_file:
        held_out = read(rows.held_out_file, rows, tokenizer, training.max_length)
    trainer = SFTTrainer(
        model=model.model_name_or_path,
        args=training,
        train_dataset=read(rows.train_file, rows, tokenizer, training.max_length),
        eval_dataset=held_out,
        processing_class=tokenizer,
        quantization_config=get_quantization_config(model),
        peft_config=get_peft_config(model),
    )
    begun = get_last_checkpoint(training.output_dir) if Path(training.output_dir).is_dir() else None
    trainer.train(resume_from_checkpoint=begun)
    trainer.save_model(training.output_dir)


if __name__ == "__main__":
    main()
'''

_MERGE = '''\
"""Adds the adapters to the weights. Written by alpaqual."""

from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained({output}, dtype="float32").merge_and_unload()
model.save_pretrained({merged})
AutoTokenizer.from_pretrained({output}).save_pretrained({merged})
'''


class Plugin:
    """Writes TRL's configuration, and the script that hands it to TRL's trainer."""

    VERSION = 1
    TRAINS = False

    def files(self, job: Job) -> Mapping[str, str]:
        """`config.yaml`, `train.py` and `train.sh`; `merge.py` where adapters are merged."""
        if job.method == "qlora" and job.precision == "fp32":
            raise ValueError(
                "training.precision: TRL keeps the adapters of qlora in bf16, whatever it is told; "
                "take `precision: bf16`, or `method: lora`"
            )
        train = ["torchrun", *exports.torchrun(job), "train.py", "--config", "config.yaml"]
        prompts = {"with_input": ascii(_alpaca.WITH_INPUT), "without_input": ascii(_alpaca.WITHOUT_INPUT)}
        files = {
            "config.yaml": document(exports.head(job, VERSION_READ, train, MERGE, _notes(job)), _values(job)),
            "train.py": _TRAIN.format(**prompts, asked=exports.asked()),
            "train.sh": exports.script(job, [], train, MERGE),
        }
        if exports.merges(job):
            files["merge.py"] = _MERGE.format(output=ascii(exports.OUTPUT), merged=ascii(exports.MERGED))
        return files

    def command(self, job: Job) -> Sequence[str]:
        """What trains, run in the folder of one machine."""
        return ("bash", "train.sh")


def _values(job: Job) -> dict[str, Any]:
    rows, times = exports.batches(job)
    tokenizer = exports.tokenizer(job)
    bf16 = job.precision == "bf16"
    return {
        "train_file": job.data,
        **({} if job.held_out is None else {"held_out_file": job.held_out}),
        "prompt": job.text.prompt,
        "too_long": job.text.too_long,
        **({} if tokenizer is None else {"tokenizer": tokenizer}),
        "model_name_or_path": exports.base_model(job),
        # Weights in fp32 are computed with in bf16; those of 4 bits are not learned, and the rest of them neither.
        "dtype": "bfloat16" if bf16 and job.method == "qlora" else "float32",
        **_adapters(job),
        "output_dir": exports.OUTPUT,
        "max_length": job.text.max_length,
        "truncation_mode": "keep_start",
        "completion_only_loss": job.text.loss_on == "response",
        "packing": False,
        "padding_free": False,
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": times,
        "per_device_eval_batch_size": rows,
        "num_train_epochs": float(job.steps.epochs),
        "optim": "adamw_torch",
        "learning_rate": job.steps.learning_rate,
        "lr_scheduler_type": job.steps.schedule,
        # Below 1 it is a share of the steps.
        "warmup_steps": exports.warmup(job),
        "weight_decay": job.steps.weight_decay,
        # 0 is how transformers' trainer is told not to clip.
        "max_grad_norm": 0.0 if job.steps.clip is None else job.steps.clip,
        "seed": job.steps.seed,
        "bf16": bf16,
        "fp16": False,
        **_machine(job),
        "logging_steps": 1,
        **exports.saving(job),
        **exports.evaluating(job),
        "report_to": "tensorboard" if job.machine.tensorboard else "none",
    }


def _adapters(job: Job) -> dict[str, Any]:
    if job.method == "full":
        return {"use_peft": False}
    four = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "use_bnb_nested_quant": True}
    return {
        "use_peft": True,
        **(four if job.method == "qlora" else {}),
        "lora_r": job.lora.rank,
        "lora_alpha": exports.alpha(job),
        "lora_dropout": job.lora.dropout,
        "lora_target_modules": ["all-linear"] if job.lora.targets is None else list(job.lora.targets),
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
    values["gradient_checkpointing"] = again and not exports.sharded(job)
    if exports.sharded(job):
        values["fsdp"] = True
        values["fsdp_config"] = exports.fsdp_config(again)
    return values


def _notes(job: Job) -> list[str]:
    notes = []
    if job.text.prompt == "alpaca":
        notes.append("The prompt is Stanford Alpaca's to the letter, filled in by train.py.")
    else:
        notes.append("train.py makes turns of the rows: instruction, empty line, input; then the output.")
    if job.text.loss_on == "response":
        notes.append(
            "Where the tokenizer joins the end of a prompt and the begin of a response, TRL learns that token."
        )
    elif job.text.too_long == "truncate":
        notes.append("A row whose prompt alone fills max_length is learned as far as it goes; alpaqual leaves it out.")
    if job.method == "qlora":
        notes.append("Weights of 4 bits are NF4, quantized twice; more than one process each holds a whole model.")
        notes.append("TRL keeps the adapters of qlora in bf16; alpaqual keeps them in fp32.")
    return notes + exports.one_mesh(job, "TRL")
