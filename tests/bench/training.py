"""Training: alpaqual's own job against TRL's SFTTrainer and against padded batches in transformers' Trainer, as Alpaca was trained.

    python tests/bench/training.py prepare FOLDER --data alpaca_52k.parquet     # rows and a tokenizer, once
    python tests/bench/training.py run --data FOLDER --size tiny --rows 256 --batch 32
    python tests/bench/training.py gpu full --data FOLDER --out "$OUT"          # parts: paper, full, 1b, lora, qlora

The same weights, the same rows in the same steps, the same schedule; each contender a process of its own, in turn (A B C A B C …).
Useful tokens are those of the rows: padding is not counted, and a useful token costs every contender the same operations
(alpaqual.trainers.fsdp_job.metrics.flops_per_token). The losses of each step are laid beside alpaqual's. What is measured is
written after every process, so that a run that is cut short keeps what it has. Nothing needs a network. One device.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from measuring import MIB, alpaqual_environment, installed, machine, measure, progress, publish, say, table, versions

SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 4, "num_attention_heads": 4},
    # Sheared-LLaMA-1.3B and LLaMA-7B.
    "1b": {"hidden_size": 2048, "intermediate_size": 5504, "num_hidden_layers": 24, "num_attention_heads": 16},
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
}
VOCABULARY = 32_000
OURS, PACKED, PADDING_FREE, PADDED = "alpaqual", "trl-packed", "trl-padding-free", "padded"
PACKAGES = (
    "torch",
    "transformers",
    "accelerate",
    "trl",
    "datasets",
    "peft",
    "bitsandbytes",
    "flash-attn",
    "liger-kernel",
)
ASKED_MFU, ASKED_RATIO, ASKED_SECONDS = 0.5, 3.0, 360.0
PARTS: dict[str, dict[str, Any]] = {
    # The paper's whole run: 9,229 rows, 3 epochs, batch 128. The other parts are cut short, or they would take an hour.
    "paper": {"size": "7b", "contenders": [OURS], "warm_up": 5},
    "full": {"size": "7b", "steps": 12, "warm_up": 4},
    "1b": {"size": "1b", "steps": 40, "warm_up": 8, "repeats": 2, "padded_rows": [4, 16]},
    "lora": {"size": "7b", "method": "lora", "steps": 12, "warm_up": 4},
    "qlora": {"size": "7b", "method": "qlora", "steps": 12, "warm_up": 4},
}


@dataclass(frozen=True)
class Spec:
    """What is measured. `steps` cuts the rows to that number of batches and one epoch; `warm_up` steps are left out of the speed."""

    data: str
    size: str = "tiny"
    method: str = "full"
    rows: int = 0
    epochs: int = 3
    batch: int = 128
    steps: int = 0
    warm_up: int = 0
    max_length: int = 512
    learning_rate: float = 2e-5
    weight_decay: float = 0.0
    micro_batch_tokens: int = 4096
    padded_rows: list[int] = field(default_factory=lambda: [4])
    repeats: int = 1
    contenders: list[str] = field(default_factory=list)
    same_tokens: bool = False
    checkpointing: str = "auto"
    seed: int = 42
    base: str = ""
    """Folder with the weights (lora, qlora); empty where they are drawn by each process."""


# What each contender does in a process of its own. torch and its like are imported there and nowhere else: on Linux a child's
# peak memory starts at that of the process that started it.


def shape(spec: Spec) -> dict[str, Any]:
    """The model's dimensions."""
    tokenizer = json.loads(Path(spec.data, "tokenizer", "tokenizer.json").read_text(encoding="utf-8"))
    words = {"vocab_size": len(tokenizer["model"]["vocab"]), "tie_word_embeddings": False}
    words |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    return {**words, **SIZES[spec.size], "num_key_value_heads": SIZES[spec.size]["num_attention_heads"]}


def write_job(spec: Spec, folder: Path) -> None:
    """`job.json` and `data.jsonl`, by which every contender goes."""
    import torch

    from alpaqual.job import Job, Launch, Lora, Machine, Model, Steps, Text, to_json

    source = Path(spec.data)
    lines = (source / "data.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    rows = spec.steps * spec.batch if spec.steps else spec.rows or len(lines)
    if rows > len(lines):
        raise SystemExit(f"{source / 'data.jsonl'} has {len(lines)} rows, fewer than {rows}")
    (folder / "data.jsonl").write_text("".join(lines[:rows]), encoding="utf-8")
    tokenizer = str(source / "tokenizer")
    config = {"model_type": "llama", **shape(spec)}
    model = Model(path=spec.base, tokenizer=tokenizer) if spec.base else Model(config=config, tokenizer=tokenizer)
    again = {"auto": None, "true": True, "false": False}[spec.checkpointing]
    job = Job(
        recipe="bench",
        dataset="bench",
        data="data.jsonl",
        model=model,
        method=spec.method,
        lora=Lora(16, 32.0, 0.0, None, "adapter"),
        text=Text("alpaca", "response", spec.max_length, "truncate"),
        steps=Steps(1 if spec.steps else spec.epochs, spec.batch, spec.learning_rate, "cosine", 0.03, spec.weight_decay, 1.0, spec.seed),
        precision="bf16" if torch.cuda.is_available() else "fp32",
        machine=Machine(spec.micro_batch_tokens, again, None, "auto", "auto", 1, None, None, 1, False, None),
        launch=Launch("here", 1, 1, None, {}, None, None),
        key="bench",
    )  # fmt: skip
    (folder / "job.json").write_text(to_json(job), encoding="utf-8")


def write_weights(spec: Spec, folder: Path) -> None:
    """Random weights as a folder that `from_pretrained` reads, drawn where it is quick."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(spec.seed)
    with device:
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model("llama", **shape(spec)), dtype=dtype)
    model.save_pretrained(folder.with_name(f"{folder.name}.tmp"))
    folder.with_name(f"{folder.name}.tmp").rename(folder)


def read_job(folder: Path) -> tuple[Any, Any, Any]:
    """The job, the path of its model, and its rows as alpaqual's tokens."""
    from alpaqual.job import from_json
    from alpaqual.trainers.fsdp_job.data import read_data
    from alpaqual.trainers.fsdp_job.model import BaseModel

    job = from_json((folder / "job.json").read_text(encoding="utf-8"))
    base = BaseModel(job, folder)
    return job, base, read_data(job, folder, base.tokenizer())


def alpaca_tokens(folder: Path, job: Any, tokenizer: Any, kept: Sequence[str]) -> list[dict[str, list[int]]]:
    """Rows as Stanford's train.py makes them: prompt, response and end in one text, the prompt's tokens without loss."""
    from alpaqual.trainers._rows import read_rows
    from alpaqual.training_prompts import alpaca_prompt

    rows = {row["id"]: row for row in read_rows(folder / job.data)}
    texts = [(alpaca_prompt(rows[name]), rows[name]["output"] + tokenizer.eos_token) for name in kept]
    prompts = tokenizer([prompt for prompt, _ in texts])["input_ids"]
    wholes = tokenizer([prompt + answer for prompt, answer in texts])["input_ids"]
    most = job.text.max_length
    return [
        {"input_ids": whole[:most], "labels": ([-100] * len(prompt) + whole[len(prompt) :])[:most]}
        for prompt, whole in zip(prompts, wholes, strict=True)
    ]


def our_tokens(data: Any) -> list[dict[str, list[int]]]:
    """alpaqual's tokens in the same form."""
    return [
        {"input_ids": list(row.tokens), "labels": [-100] * row.loss[0][0] + list(row.tokens[row.loss[0][0] :])}
        for row in data.examples.all
    ]


def facts(spec: Spec, folder: Path) -> dict[str, Any]:
    """What all contenders share: operations of a token, tokens of each step, rows that others tokenise differently."""
    import torch

    from alpaqual.trainers._devices import peak_of
    from alpaqual.trainers.fsdp_job.metrics import device_name, flops_per_token

    write_job(spec, folder)
    job, base, data = read_job(folder)
    examples = data.examples
    outline = base.on_meta_with_adapters(base.config(), torch.float32)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layers, head = flops_per_token(outline, examples.tokens / len(examples.all))
    theirs = alpaca_tokens(folder, job, base.tokenizer(), data.order.ids)
    other = sum(one != two for one, two in zip(our_tokens(data), theirs, strict=True))
    return {
        "device": device_name(device),
        "peak_flops": peak_of(device_name(device)),
        "flops_layers": layers,
        "flops_head": head,
        "parameters": sum(weight.numel() for weight in outline.parameters()),
        "trained": sum(weight.numel() for weight in outline.parameters() if weight.requires_grad),
        "rows": len(examples.all),
        "rows_truncated": len(examples.truncated),
        "rows_dropped": len(examples.dropped),
        "rows_of_other_tokens": other,
        "tokens": examples.tokens,
        "loss_tokens": examples.loss_tokens,
        "steps": data.order.steps,
        "precision": job.precision,
    }


def start_model(job: Any, base: Any) -> Any:
    """The weights that alpaqual starts from, and its adapters, for a trainer that takes them whole."""
    import torch
    from peft import get_peft_model, prepare_model_for_kbit_training

    from alpaqual.trainers.fsdp_job.model import dtype_of, lora_config

    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    compute = dtype_of(job)
    if job.method == "full":
        return base.whole(device, torch.float32)
    if job.method == "qlora":
        model = base.quantised(SimpleNamespace(device=device), compute)
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    else:
        model = base.whole(torch.device("cpu"), compute)
    torch.manual_seed(job.steps.seed)
    # peft keeps adapters in fp32 whatever the weights are.
    return get_peft_model(model, lora_config(job.lora))


def attention() -> str:
    """FlashAttention 2 where it is installed."""
    from importlib.util import find_spec

    import torch

    return "flash_attention_2" if torch.cuda.is_available() and find_spec("flash_attn") else "sdpa"


def trainer_words(job: Any, folder: Path, rows: int, times: int, again: bool) -> dict[str, Any]:
    """The job in the words of transformers' TrainingArguments."""
    return {
        "output_dir": str(folder / "out"),
        "per_device_train_batch_size": rows,
        "gradient_accumulation_steps": times,
        "num_train_epochs": float(job.steps.epochs),
        "learning_rate": job.steps.learning_rate,
        "lr_scheduler_type": job.steps.schedule,
        "warmup_steps": job.steps.warmup_ratio,
        "weight_decay": job.steps.weight_decay,
        "max_grad_norm": job.steps.clip,
        "bf16": job.precision == "bf16",
        "tf32": None,
        "gradient_checkpointing": again,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": job.steps.seed,
        "use_cpu": job.precision == "fp32",
    }


class Watch:
    """What happens in each step: losses, tokens of the batches that were really made, seconds, norms."""

    def __init__(self) -> None:
        self.made: list[tuple[int, int, int]] = []
        self.losses: list[Any] = []
        self.found: dict[str, list[float]] = {
            key: [] for key in ("losses", "seconds", "tokens", "loss_tokens", "slots", "norms")
        }
        self.last = 0.0

    def collating(self, collate: Any) -> Any:
        """A collator that notes real tokens, learned tokens, and the numbers that go through the model."""

        def noted(examples: list[dict[str, Any]]) -> Any:
            batch = collate(examples)
            learned = sum(len(row["labels"][1:]) - row["labels"][1:].count(-100) for row in examples)
            self.made.append((sum(len(row["input_ids"]) for row in examples), learned, batch["input_ids"].numel()))
            return batch

        return noted

    def callback(self) -> Any:
        """For a Trainer."""
        from transformers import TrainerCallback

        watch = self

        class Noted(TrainerCallback):
            def on_train_begin(self, *args: Any, **words: Any) -> None:
                watch.last = time.perf_counter()

            def on_step_end(self, *args: Any, **words: Any) -> None:
                watch.step()

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **words: Any) -> None:
                if logs and "grad_norm" in logs:
                    watch.found["norms"].append(float(logs["grad_norm"]))

        return Noted()

    def step(self) -> None:
        """A step has ended."""
        self.found["losses"].append(float(sum(self.losses)))
        now = time.perf_counter()
        self.found["seconds"].append(now - self.last)
        # A batch or two were made ahead for the next step.
        mine, self.made = self.made[: len(self.losses)], self.made[len(self.losses) :]
        for key, at in (("tokens", 0), ("loss_tokens", 1), ("slots", 2)):
            self.found[key].append(sum(each[at] for each in mine))
        self.last, self.losses = now, []


def watched(kind: Any, watch: Watch, orders: Sequence[Sequence[int]] | None) -> Any:
    """A Trainer class whose steps are watched, and whose epochs have the rows in the order that is given."""
    import torch

    class InOrder(torch.utils.data.Sampler):  # type: ignore[misc]
        epoch = 0

        def set_epoch(self, epoch: int) -> None:
            self.epoch = epoch

        def __iter__(self) -> Iterator[int]:
            return iter(orders[self.epoch])

        def __len__(self) -> int:
            return len(orders[0])

    class Watched(kind):  # type: ignore[misc]
        def training_step(self, *args: Any, **words: Any) -> Any:
            loss = super().training_step(*args, **words)
            watch.losses.append(loss)
            return loss

        def _get_train_sampler(self, *args: Any, **words: Any) -> Any:
            return super()._get_train_sampler(*args, **words) if orders is None else InOrder()

    return Watched


def padded(job: Any, base: Any, rows: Any, folder: Path, words: dict[str, Any], kind: tuple[Any, Watch, Any]) -> Any:
    """transformers' Trainer as Stanford's train.py calls it."""
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    tokenizer = base.tokenizer()
    # Pads inputs with the pad token, labels with -100, to the longest row: what Stanford's own collator does.
    collate = DataCollatorForSeq2Seq(tokenizer, padding=True, label_pad_token_id=-100)
    tokenizer.padding_side = "right"
    made, watch, orders = kind
    arguments = TrainingArguments(**words, remove_unused_columns=False)
    trainer = watched(Trainer, watch, orders)(model=made, args=arguments, train_dataset=rows, data_collator=collate)
    trainer.data_collator = watch.collating(collate)
    return trainer


def trl(job: Any, base: Any, rows: Any, folder: Path, words: dict[str, Any], kind: tuple[Any, Watch, Any]) -> Any:
    """TRL's SFTTrainer: `rows` as tokens without padding, or as texts that it packs itself."""
    import datasets
    from trl import SFTConfig, SFTTrainer

    datasets.disable_progress_bars()
    made, watch, orders = kind
    if orders is None:
        words |= {
            "packing": True,
            "packing_strategy": "bfd",
            "max_length": job.text.max_length,
            "completion_only_loss": True,
        }
    else:
        # It cuts no row by itself where it does not pad: the rows are cut already.
        words |= {"packing": False, "padding_free": True, "max_length": None}
    trainer = watched(SFTTrainer, watch, orders)(
        model=made,
        args=SFTConfig(**words),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=base.tokenizer(),
    )
    trainer.data_collator = watch.collating(trainer.data_collator)
    return trainer


def peer(name: str, spec: Spec, folder: Path) -> dict[str, Any]:
    """Train with another trainer; what its steps were."""
    import torch
    from transformers.trainer_callback import PrinterCallback

    from alpaqual.trainers.fsdp_job.memory import used

    job, base, data = read_job(folder)
    rows: Any = our_tokens(data) if spec.same_tokens else alpaca_tokens(folder, job, base.tokenizer(), data.order.ids)
    steps = data.order.steps_per_epoch
    orders: Any = [[row for step, each in data.order.steps_from(epoch * steps) if step < (epoch + 1) * steps for row in each] for epoch in range(job.steps.epochs)]  # fmt: skip
    mean = data.examples.tokens / len(data.examples.all)
    micro, most = job.machine.micro_batch_tokens, job.text.max_length
    if name == PACKED:
        rows, orders = texts(folder, job, data.order.ids), None
        packs = max(1, round(spec.batch * mean / most))
        times = -(-packs // max(1, micro // most))
        size = -(-packs // times)
    elif name == PADDING_FREE:
        size = max(
            each for each in range(1, spec.batch + 1) if spec.batch % each == 0 and (each * mean <= micro or each == 1)
        )
        times = spec.batch // size
    else:
        size = min(int(name.partition("-")[2]), spec.batch)
        if spec.batch % size:
            raise SystemExit(f"--batch {spec.batch} is no multiple of --padded-rows {size}")
        times = spec.batch // size
    watch = Watch()
    words = trainer_words(job, folder, size, times, spec.checkpointing == "true")
    start = time.perf_counter()
    try:
        made = start_model(job, base)
        if attention() != "sdpa":
            made.set_attn_implementation(attention())
        make = padded if name.startswith(PADDED) else trl
        trainer = make(job, base, rows, folder, words, (made, watch, orders))
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(watch.callback())
        loaded = time.perf_counter()
        trainer.train()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    except torch.OutOfMemoryError as error:
        return {"out_of_memory": str(error).splitlines()[0]}
    return {
        **watch.found,
        "memory": used(torch.device("cuda" if torch.cuda.is_available() else "cpu")),
        "after_last_step": time.perf_counter() - watch.last,
        "loading": loaded - start,
        "settings": f"{times} times {size} {'packs' if name == PACKED else 'rows'}, {attention()}, checkpointing {words['gradient_checkpointing']}",
    }


def texts(folder: Path, job: Any, kept: Sequence[str]) -> list[dict[str, str]]:
    """Rows as TRL's prompt and completion; it adds the end by itself."""
    from alpaqual.trainers._rows import read_rows
    from alpaqual.training_prompts import alpaca_prompt

    rows = {row["id"]: row for row in read_rows(folder / job.data)}
    return [{"prompt": alpaca_prompt(rows[name]), "completion": rows[name]["output"]} for name in kept]


def child(what: str, spec: Spec, out: Path) -> None:
    """In a process of its own: write what was found."""
    if what == "weights":
        write_weights(spec, out)
        return
    folder = out.parent
    found = facts(spec, folder) if what == "facts" else peer(what, spec, folder)
    out.write_text(json.dumps(found), encoding="utf-8")


def prepare(data: Path, column: str, folder: Path, vocabulary: int) -> None:
    """Rows as JSON Lines, in an order of which every beginning is a sample, and a BPE tokenizer trained on all rows' texts."""
    import hashlib

    import pyarrow.parquet as parquet
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from alpaqual.training_prompts import alpaca_prompt

    (folder / "tokenizer").mkdir(parents=True, exist_ok=True)
    rows = parquet.read_table(data).to_pylist()
    kept = [row for row in rows if row[column]] if column != "all" else rows
    kept.sort(key=lambda row: hashlib.md5(str(row["id"]).encode()).digest())
    fields = ("instruction", "input", "output")
    lines = [json.dumps({"id": str(row["id"]), **{key: row[key] or "" for key in fields}}) + "\n" for row in kept]
    (folder / "data.jsonl").write_text("".join(lines), encoding="utf-8")
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    bpe.train_from_iterator(
        (alpaca_prompt({**row, "input": row["input"] or ""}) + row["output"] for row in rows), trainer
    )
    # As LLaMA's: a first token, and no last one.
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.save_pretrained(folder / "tokenizer")
    # A class that every transformers 5 knows, whatever wrote it.
    settings = folder / "tokenizer" / "tokenizer_config.json"
    said = {**json.loads(settings.read_text(encoding="utf-8")), "tokenizer_class": "PreTrainedTokenizerFast"}
    settings.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    say(f"{folder}: {len(kept):,} rows ({column}), {bpe.get_vocab_size():,} tokens in the vocabulary")


# The parent: starts processes, and reads what they wrote.


@dataclass
class Run:
    """One process: a contender in a round; `steps` has lists of a number a step."""

    contender: str
    round: int
    wall: float = 0.0
    memory: int = 0
    settings: str = ""
    failed: str = ""
    steps: dict[str, list[float]] = field(default_factory=dict)

    def speed(self, warm_up: int) -> float:
        """Useful tokens a second."""
        return sum(self.steps["tokens"][warm_up:]) / sum(self.steps["seconds"][warm_up:])

    def mfu(self, warm_up: int, known: dict[str, Any]) -> float | None:
        """Useful operations as a share of the device's peak; None where the peak is unknown."""
        if known["peak_flops"] is None:
            return None
        tokens, learned = (sum(self.steps[key][warm_up:]) for key in ("tokens", "loss_tokens"))
        useful = tokens * known["flops_layers"] + learned * known["flops_head"]
        return useful / sum(self.steps["seconds"][warm_up:]) / known["peak_flops"]


def environment() -> dict[str, str]:
    """For every child: no network, one device, as many threads."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0)))
    return {
        **alpaqual_environment(),
        "OMP_NUM_THREADS": threads,
        "CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", "0"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # As in launch.sh, for every contender.
        "PYTORCH_ALLOC_CONF": os.environ.get("PYTORCH_ALLOC_CONF", "expandable_segments:True"),
        # The loopback interface: gloo and NCCL fail on a host name that does not resolve.
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
    }


def here(what: str, spec: Spec, out: Path) -> list[str]:
    """The command of a child."""
    return [sys.executable, str(Path(__file__).resolve()), "child", what, json.dumps(asdict(spec)), str(out)]


def job_command() -> list[str]:
    """What launch.sh runs, of one process."""
    words = ["--standalone", "--local-addr=127.0.0.1", "--nnodes=1", "--nproc-per-node=1", "--max-restarts=0"]
    return [sys.executable, "-m", "torch.distributed.run", *words, "-m", "alpaqual.trainers.fsdp_job", "job.json"]


def ours(folder: Path) -> Run:
    """alpaqual's job, from start to a written model."""
    sample = measure(job_command(), folder, environment())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    names = {
        "losses": "loss",
        "seconds": "seconds",
        "tokens": "tokens",
        "loss_tokens": "loss_tokens",
        "norms": "gradient_norm",
    }
    steps = {key: [line[name] for line in lines] for key, name in names.items()}
    steps["slots"] = steps["tokens"]
    said = folder.with_name(f"{folder.name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    settings = next((line for line in said if "; attention" in line), "").partition("; ")[2]
    fits = next((line for line in said if "activation checkpointing" in line), "")
    settings += f", checkpointing {'with activation' in fits}"
    settings += ", not compiled" * any(line.startswith("layers are not compiled") for line in said)
    return Run(OURS, 0, sample.wall, max(line["memory_bytes"] or 0 for line in lines), settings, steps=steps)


def theirs(name: str, spec: Spec, folder: Path) -> Run:
    """Run another trainer's process; it retries with activation checkpointing if memory ends."""
    out = folder / "out.json"
    sample = measure(here(name, spec, out), folder, environment())
    found = json.loads(out.read_text(encoding="utf-8"))
    if "out_of_memory" in found:
        raise MemoryError(found["out_of_memory"])
    steps = {key: found[key] for key in ("losses", "seconds", "tokens", "loss_tokens", "slots", "norms")}
    return Run(name, 0, sample.wall, found["memory"], found["settings"], steps=steps)


@contextmanager
def place(work: Path, name: str) -> Iterator[Path]:
    """A folder that is gone afterwards: models are large."""
    with tempfile.TemporaryDirectory(prefix=f"training-{name}-", dir=work) as temporary:
        folder = Path(temporary, "place")
        folder.mkdir()
        yield folder


def once(name: str, spec: Spec, work: Path, job: Path) -> Run:
    """One contender in one round."""
    with place(work, name) as folder:
        for file in ("job.json", "data.jsonl"):
            shutil.copy(job / file, folder / file)
        return ours(folder) if name == OURS else theirs(name, spec, folder)


def contenders(spec: Spec) -> list[str]:
    """Who takes part. A missing TRL is reported."""
    names = spec.contenders or [OURS, PADDING_FREE, PACKED, *(f"{PADDED}-{rows}" for rows in spec.padded_rows)]
    lacks = {"trl", "datasets"} - set(installed(Path(sys.executable), "trl", "datasets"))
    if lacks and any(name.startswith("trl") for name in names):
        say(f"!!! {', '.join(sorted(lacks))} not installed: NOTHING IS MEASURED OF TRL (pip install trl==1.16.0)")
        names = [name for name in names if not name.startswith("trl")]
    return names


def measured(spec: Spec, work: Path, out: Path | None, seconds: float) -> tuple[dict[str, Any], list[Run]]:
    """All rounds; written to `out` after every process. No process is started that would likely end after `seconds`."""
    began, names = time.monotonic(), contenders(spec)
    if spec.method != "full":
        base = work / f"weights-{spec.size}-{spec.seed}"
        if not (base / "config.json").is_file():
            with place(work, "weights") as folder:
                measure(here("weights", spec, base), folder, environment())
        spec = replace(spec, base=str(base))
    runs: list[Run] = []
    with place(work, "job") as job:
        measure(here("facts", spec, job / "facts.json"), job, environment())
        known = json.loads((job / "facts.json").read_text(encoding="utf-8"))
        progress(json.dumps(known))
        again: set[str] = set()
        for number in range(spec.repeats):
            for name in names:
                last = max((run.wall for run in runs if run.contender == name), default=0.0)
                if seconds and time.monotonic() - began + last > seconds:
                    progress(f"{name}, round {number + 1}: left out, time is up")
                    continue
                run = tried(name, spec, (work, job), again)
                run.round = number + 1
                runs.append(run)
                progress(
                    f"{name}, round {number + 1}: {run.failed or f'{run.speed(spec.warm_up):,.0f} tokens/s, {run.wall:.0f} s in all'}"
                )
                if out is not None:
                    whole = {
                        "settings": asdict(spec),
                        "known": known,
                        "machine": machine(),
                        "runs": [asdict(each) for each in runs],
                    }
                    out.write_text(json.dumps(whole) + "\n", encoding="utf-8")
    return known, runs


def tried(name: str, spec: Spec, places: tuple[Path, Path], again: set[str]) -> Run:
    """A contender's run, or why there is none; `again` has those that compute activations twice from now on."""
    try:
        try:
            return once(name, replace(spec, checkpointing="true") if name in again else spec, *places)
        except MemoryError as error:
            if name in again or spec.checkpointing != "auto":
                raise
            progress(f"{name}: {error}; once more with activation checkpointing")
            again.add(name)
            return once(name, replace(spec, checkpointing="true"), *places)
    except (SystemExit, MemoryError) as error:
        progress(str(error))
        return Run(name, 0, failed=str(error)[-1500:])


def distances(one: Sequence[float], two: Sequence[float]) -> str:
    """The largest and the mean distance of two curves."""
    apart = [abs(first - second) for first, second in zip(one, two, strict=True)]
    return f"{max(apart):.1e}, {statistics.mean(apart):.1e}"


def compared(run: Run, first: Run | None) -> list[str]:
    """Loss of the first and last step; distance to alpaqual's curve, and to its gradient norms, where steps are the same rows."""
    steps, losses = run.steps, run.steps["losses"]
    ends = f"{losses[0]:.4f}, {losses[-1]:.4f}"
    if first is None or run is first:
        return [ends, "", ""]
    if run.contender == PACKED or len(losses) != len(first.steps["losses"]):
        return [ends, f"{len(losses)} other steps", ""]
    norms = [abs(one / two - 1) for one, two in zip(steps["norms"], first.steps["norms"], strict=False)]
    return [ends, distances(losses, first.steps["losses"]), f"{max(norms):.1e}" if norms else ""]


def summary(spec: Spec, known: dict[str, Any], runs: list[Run]) -> str:
    """The table, with what was asked."""
    good = [run for run in runs if not run.failed]
    first = next((run for run in good if run.contender == OURS), None)
    rows, speeds = [], {}
    for name in dict.fromkeys(run.contender for run in runs):
        mine = [run for run in good if run.contender == name]
        if not mine:
            rows.append([name, "failed", *[""] * 9])
            continue
        speeds[name] = statistics.median(run.speed(spec.warm_up) for run in mine)
        mfus = [run.mfu(spec.warm_up, known) for run in mine]
        useful = sum(mine[0].steps["tokens"]) / sum(mine[0].steps["slots"])
        each = [run.speed(spec.warm_up) for run in mine]
        rows.append(
            [
                name,
                f"{statistics.median(sum(run.steps['seconds'][spec.warm_up :]) for run in mine):.1f}",
                f"{speeds[name]:,.0f} ({min(each):,.0f} to {max(each):,.0f})",
                f"{speeds[OURS] / speeds[name]:.2f}" if OURS in speeds else "",
                "" if mfus[0] is None else f"{statistics.median(value for value in mfus if value is not None):.1%}",
                f"{useful:.0%}",
                f"{max(run.memory for run in mine) / MIB:,.0f}",
                f"{statistics.median(run.wall for run in mine):.0f}",
                *compared(mine[0], first),
            ]
        )
    heads = ["contender", "s of the steps", "useful tokens/s (range)", "alpaqual is × as quick", "MFU", "useful", "peak MiB", "process s", "loss, first and last", "loss apart: max, mean", "norm apart, max"]  # fmt: skip
    what = f"{spec.size} ({known['parameters'] / 1e6:,.1f} M parameters, {known['trained'] / 1e6:,.1f} M trained), {spec.method}, {known['precision']}, {known['device']}: "
    what += f"{known['rows']:,} rows, {known['tokens']:,} tokens ({known['loss_tokens']:,} learned), {known['steps']} steps of {spec.batch} rows"
    what += f", the first {spec.warm_up} not timed" if spec.warm_up else ""
    what += f". {known['rows_of_other_tokens']} rows become other tokens as Alpaca's script writes them{' (here all get those of alpaqual)' if spec.same_tokens else ''}."
    lines = [what, "", table(heads, rows), ""]
    lines += [f"- {run.contender}: {run.settings}" for run in good if run.round == 1]
    return "\n".join([*lines, *verdicts(spec, known, good, speeds)])


def verdicts(spec: Spec, known: dict[str, Any], good: list[Run], speeds: dict[str, float]) -> list[str]:
    """What was asked, on a GPU alone."""
    if OURS not in speeds or known["peak_flops"] is None:
        return []
    mine = [run for run in good if run.contender == OURS]
    mfu = statistics.median(run.mfu(spec.warm_up, known) or 0.0 for run in mine)
    found = [f"- asked: MFU of at least {ASKED_MFU:.0%}: {mfu:.1%}, {'met' if mfu >= ASKED_MFU else 'missed'}"]
    base = [speed for name, speed in speeds.items() if name.startswith(PADDED)]
    if base:
        times = speeds[OURS] / max(base)
        found.append(f"- asked: at least {ASKED_RATIO:.0f} times the padded Trainer (the quickest): {times:.2f}, {'met' if times >= ASKED_RATIO else 'missed'}")  # fmt: skip
    if not spec.steps and spec.size == "7b":
        wall = statistics.median(run.wall for run in mine)
        found.append(f"- asked: the whole run under {ASKED_SECONDS:.0f} s: {wall:.0f}, {'met' if wall <= ASKED_SECONDS else 'missed'}")  # fmt: skip
    return found


def measure_all(spec: Spec, given: argparse.Namespace, name: str) -> str:
    """Measure, write JSON, and the text of the result."""
    work = Path(given.work or tempfile.gettempdir(), "alpaqual-training").resolve()
    work.mkdir(parents=True, exist_ok=True)
    if not (Path(spec.data) / "data.jsonl").is_file():
        raise SystemExit(
            f"{spec.data} has no data.jsonl: python tests/bench/training.py prepare {spec.data} --data alpaca_52k.parquet"
        )
    out = None
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        out = given.out.resolve() / f"training-{name}.json"
    head = f"{machine()} {versions(installed(Path(sys.executable), *PACKAGES))}. Median of {spec.repeats} rounds."
    known, runs = measured(spec, work, out, given.seconds)
    text = f"{head}\n\n{summary(spec, known, runs)}"
    if out is not None:
        out.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    return text


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("prepare", help="write rows and a tokenizer into a folder")
    making.add_argument("folder", type=Path)
    making.add_argument("--data", type=Path, required=True, help="alpaca_52k.parquet")
    making.add_argument(
        "--column",
        default="random_9k",
        help="boolean column of the rows, or all (random_9k: 9,229 rows, as many as the paper's)",
    )
    making.add_argument("--vocabulary", type=int, default=VOCABULARY, help="tokens of the tokenizer")
    running = commands.add_parser("run", help="measure one thing")
    listed = commands.add_parser("gpu", help="measure what is asked on one H200, by parts that each end within 600 s")
    listed.add_argument("parts", nargs="+", choices=list(PARTS))
    for each in (running, listed):
        each.add_argument("--data", type=Path, required=True, help="the folder that prepare wrote")
        each.add_argument("--out", type=Path, help="folder for JSON and tables")
        each.add_argument(
            "--work",
            type=Path,
            help="folder for models while they are made (default: the system's for temporary files)",
        )
        each.add_argument(
            "--seconds", type=float, default=0.0, help="start no process that would likely end later than this"
        )
        each.add_argument("--page", type=Path, help="put the result into this page")
        each.add_argument("--micro-batch-tokens", type=int, default=4096)
        each.add_argument(
            "--checkpointing",
            choices=["auto", "true", "false"],
            default="auto",
            help="auto: where memory ends without it",
        )
        each.add_argument(
            "--same-tokens",
            action="store_true",
            help="give alpaqual's tokens to the others, to compare losses to the last digit",
        )
    default = Spec("")
    running.add_argument("--size", choices=list(SIZES), default=default.size)
    running.add_argument("--method", choices=["full", "lora", "qlora"], default=default.method)
    running.add_argument("--rows", type=int, default=0, help="rows from the beginning of the data (default: all)")
    running.add_argument("--steps", type=int, default=0, help="one epoch of this many batches instead")
    running.add_argument(
        "--contenders", nargs="+", default=[], help=f"default: {OURS} {PADDING_FREE} {PACKED} {PADDED}-ROWS"
    )
    running.add_argument(
        "--padded-rows", nargs="+", type=int, default=default.padded_rows, help="rows of a padded micro-batch"
    )
    for word in ("epochs", "batch", "warm_up", "max_length", "learning_rate", "weight_decay", "repeats", "seed"):
        value = getattr(default, word)
        running.add_argument(f"--{word.replace('_', '-')}", type=type(value), default=value)
    return parser


def main() -> None:
    """Prepare, or measure."""
    if sys.argv[1:2] == ["child"]:
        child(sys.argv[2], Spec(**json.loads(sys.argv[3])), Path(sys.argv[4]))
        return
    given = arguments().parse_args()
    if given.command == "prepare":
        # Here as everywhere alpaqual is this checkout's.
        sys.path.insert(0, alpaqual_environment()["PYTHONPATH"].partition(os.pathsep)[0])
        prepare(given.data, given.column, given.folder, given.vocabulary)
        return
    common = {"data": str(given.data.resolve()), "micro_batch_tokens": given.micro_batch_tokens}
    common |= {"checkpointing": given.checkpointing, "same_tokens": given.same_tokens}
    if given.command == "run":
        words = {key: value for key, value in vars(given).items() if key in Spec.__dataclass_fields__}
        specs = {f"{given.size}-{given.method}": Spec(**{**words, **common})}
    else:
        specs = {part: Spec(**common, **PARTS[part]) for part in given.parts}
    found = [measure_all(spec, given, name) for name, spec in specs.items()]
    publish("\n\n".join(found), Path(__file__).name, given.page)


if __name__ == "__main__":
    main()
