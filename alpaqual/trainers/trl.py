"""Exports a job to TRL: `config.yaml` for TRL's parser, `train.py` that calls its SFTTrainer, and `train.sh`.

`trl sft --config` cannot fill rows into a prompt, so `train.py` replaces it: the same parser and trainer, and the rows.
Chat rows are handed to the trainer as tokens and labels: TRL has no weights, and finds turns by a generation mask alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alpaqual import training_prompts
from alpaqual.job import Job
from alpaqual.trainers import _exports as exports
from alpaqual.trainers._yaml import document

TESTED_VERSION = "TRL 1.16.0"
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
{chat_import}
{constants}
@dataclass
class Rows:
    """Settings that TRL does not have."""

    train_file: str
    prompt: str
    too_long: str
    loss_on: str
    held_out_file: str | None = None
    tokenizer: str | None = None


{read}

def main() -> None:
    parser = TrlParser((Rows, SFTConfig, ModelConfig))
    rows, training, model = parser.parse_args_and_config()
    training.model_init_kwargs = {{"dtype": model.dtype, "attn_implementation": model.attn_implementation}}
    tokenizer = AutoTokenizer.from_pretrained(rows.tokenizer or model.model_name_or_path)
    if rows.prompt == "chat" and not tokenizer.chat_template:
        raise SystemExit("The tokenizer has no chat template; set training.tokenizer to one that has, or prompt: alpaca")
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
    checkpoint = get_last_checkpoint(training.output_dir) if Path(training.output_dir).is_dir() else None
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model(training.output_dir)


if __name__ == "__main__":
    main()
'''

_MERGE = '''\
"""Merges the adapters into the weights. Written by alpaqual."""

from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained({output}, dtype="float32").merge_and_unload()
model.save_pretrained({merged})
AutoTokenizer.from_pretrained({output}).save_pretrained({merged})
'''

_PROMPTS = f"""
# The prompt of Stanford Alpaca's train.py.
WITH_INPUT = {training_prompts.WITH_INPUT!a}
WITHOUT_INPUT = {training_prompts.WITHOUT_INPUT!a}

"""
_READ = {
    "alpaca": '''\
def convert(row: dict[str, str]) -> dict[str, str]:
    """A row as TRL's prompt and completion."""
    template = WITH_INPUT if row["input"] else WITHOUT_INPUT
    question = template.format(instruction=row["instruction"], input=row["input"])
    return {"prompt": question, "completion": row["output"]}


def count_tokens(row: dict[str, str], tokenizer: Any) -> int:
    """The tokens of a row, as TRL truncates it."""
    return len(tokenizer(row["prompt"] + row["completion"] + tokenizer.eos_token)["input_ids"])


def read(file: str, rows: Rows, tokenizer: Any, max_length: int) -> Dataset:
    with Path(file).open(encoding="utf-8") as lines:
        found = [convert(json.loads(line)) for line in lines]
    kept = [row for row in found if rows.too_long != "drop" or count_tokens(row, tokenizer) <= max_length]
    print(f"{file}: {len(kept)} rows, {len(found) - len(kept)} more are longer than {max_length} tokens and dropped")
    return Dataset.from_list(kept)
''',
    "chat": """\
def read(file: str, rows: Rows, tokenizer: Any, max_length: int) -> Dataset:
    with Path(file).open(encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    kept = labelled(found, tokenizer, loss_on=rows.loss_on, max_length=max_length, too_long=rows.too_long)
    print(*notes_on(found, tokenizer), f"{file}: {len(kept)} rows, {len(found) - len(kept)} dropped", sep="\\n")
    return Dataset.from_list(kept)
""",
}


class Plugin:
    """Writes TRL's configuration, and a script that calls TRL's trainer with it."""

    VERSION = 1
    TRAINS = False

    def files(self, job: Job) -> Mapping[str, str]:
        """`config.yaml`, `train.py` and `train.sh`; the module that tokenizes chat rows; `merge.py` for merged adapters.

        Raises ValueError, with the setting, for a job that TRL cannot train.
        """
        if job.method == "qlora" and job.precision == "fp32":
            raise ValueError(
                "training.precision: TRL keeps the adapters of qlora in bf16 always; "
                "set `precision: bf16`, or `method: lora`"
            )
        train = ["torchrun", *exports.torchrun_options(job), "train.py", "--config", "config.yaml"]
        chat = job.text.prompt == "chat"
        files = {
            "config.yaml": document(exports.header(job, TESTED_VERSION, train, MERGE, _notes(job)), _config(job)),
            "train.py": _TRAIN.format(
                chat_import="\nfrom chat_tokens import labelled, notes_on\n" if chat else "",
                constants="" if chat else _PROMPTS,
                read=_READ[job.text.prompt],
            ),
            **({exports.CHAT: exports.chat_module()} if chat else {}),
            "train.sh": exports.train_sh(job, [], train, MERGE),
        }
        if exports.merges(job):
            files["merge.py"] = _MERGE.format(output=ascii(exports.OUTPUT), merged=ascii(exports.MERGED))
        return files

    def command(self, job: Job) -> Sequence[str]:
        """Train on this node, in the folder of the files."""
        return exports.TRAIN


def _config(job: Job) -> dict[str, Any]:
    tokenizer = exports.tokenizer(job)
    return {
        "train_file": job.data,
        **({} if job.held_out is None else {"held_out_file": job.held_out}),
        "prompt": job.text.prompt,
        "too_long": job.text.too_long,
        "loss_on": job.text.loss_on,
        **({} if tokenizer is None else {"tokenizer": tokenizer}),
        "model_name_or_path": exports.base_model(job),
        # fp32 weights are computed with in bf16 by autocast; 4-bit weights and the rest of their model are frozen.
        "dtype": "bfloat16" if job.precision == "bf16" and job.method == "qlora" else "float32",
        **_adapters(job),
        "max_length": job.text.max_length,
        "truncation_mode": "keep_start",
        "completion_only_loss": job.text.prompt == "alpaca" and job.text.loss_on != "all",
        "packing": False,
        "padding_free": False,
        **exports.trainer_arguments(job),
        # Below 1 it is a share of the steps.
        "warmup_steps": exports.warmup_ratio(job),
        **_performance(job),
    }


def _adapters(job: Job) -> dict[str, Any]:
    if job.method == "full":
        return {"use_peft": False}
    four_bits = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "use_bnb_nested_quant": True}
    return {
        "use_peft": True,
        **(four_bits if job.method == "qlora" else {}),
        "lora_r": job.lora.rank,
        "lora_alpha": exports.lora_alpha(job),
        "lora_dropout": job.lora.dropout,
        "lora_target_modules": ["all-linear"] if job.lora.targets is None else list(job.lora.targets),
    }


def _performance(job: Job) -> dict[str, Any]:
    """Settings that change speed and memory only."""
    settings = exports.kernel_settings(job)
    if not exports.uses_fsdp(job):
        return {**settings, "gradient_checkpointing": exports.uses_checkpointing(job)}
    config = {"version": 2, **exports.fsdp_config(job)}
    return {**settings, "gradient_checkpointing": False, "fsdp": True, "fsdp_config": config}


def _notes(job: Job) -> list[str]:
    if job.text.prompt == "chat":
        notes = exports.chat_notes(job)
    else:
        notes = ["The prompt is exactly Stanford Alpaca's, filled in by train.py."]
    if job.text.prompt == "alpaca" and job.text.loss_on != "all":
        notes.append("A token that spans the end of the prompt and the start of the response has loss in TRL.")
    elif job.text.prompt == "alpaca" and job.text.too_long == "truncate":
        notes.append("A row whose prompt alone fills max_length is truncated; alpaqual drops it.")
    notes += exports.qlora_notes(job)
    if job.method == "qlora":
        notes.append("TRL keeps the adapters of qlora in bf16; alpaqual keeps them in fp32.")
    return [*notes, *exports.replicas_notes(job, "TRL")]
