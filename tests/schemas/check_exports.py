# ruff: noqa: T201 - a script that a person runs; it prints.
"""Checks the exports for axolotl and LLaMA-Factory with those programs' own code, which cannot share our environment.

    python tests/schemas/check_exports.py [--keep FOLDER] [--no-training]

builds a throwaway environment for each (with the torch of the Python that runs this), reads every kind of configuration with
the program's own schema, renders rows with its own prompts, and trains a tiny random model for two steps by `train.sh`.
It needs PyPI, about 1.5 GB of disk and some minutes; it ends with 1 where anything is not as it should be.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

# Pinned as each program pins them; of what it needs otherwise only what reading and training a text model imports.
TOOLS: dict[str, dict[str, list[str]]] = {
    "axolotl": {
        # axolotl asks for Python 3.12, and its code runs on 3.11; torch is of the Python that runs this.
        "alone": [
            "axolotl==0.21.0",
            "axolotl-contribs-lgpl==0.0.7",
            "axolotl-contribs-mit==0.0.6",
            "bitsandbytes==0.50.2",
        ],
        "with": [
            *("transformers==5.20.1", "accelerate==1.15.0", "datasets==5.0.1", "peft==0.21.2", "trl==1.14.1"),
            *("pydantic==2.13.5", "typer==0.25.1", "mistral-common==1.12.0", "evaluate==0.4.1", "schedulefree==1.4.1"),
            *("addict", "colorama", "einops", "fastcore", "filelock", "fire", "jinja2", "networkx", "numba", "pillow"),
            *("posthog", "psutil", "python-dotenv", "scipy", "sentencepiece", "setuptools", "sympy", "tensorboard"),
            "wandb",
        ],
    },
    "llama_factory": {
        "alone": ["llamafactory==0.9.5"],
        "with": [
            *("transformers==5.6.0", "accelerate==1.11.0", "datasets==4.0.0", "peft==0.18.1", "trl==0.24.0"),
            *("av<=16", "einops", "filelock", "fire", "jinja2", "matplotlib", "modelscope", "networkx", "omegaconf"),
            *("pandas", "protobuf", "psutil", "scipy", "sentencepiece", "setuptools", "sympy", "tiktoken", "tyro<0.9"),
        ],
    },
}
ROWS = [
    {"id": "0", "instruction": "Add {x}", "input": "1 2", "output": "three"},
    *({"id": str(n), "instruction": f"Count to {n}", "input": "", "output": "one " * n} for n in range(1, 8)),
]

TOOLS_OF_A_ROW = [
    {"type": "function", "function": {"name": "convert", "parameters": {"type": "object", "properties": {}}}}
]
CALL = {"id": "t", "type": "function", "function": {"name": "convert", "arguments": '{"km": 2}'}}
TALKS = [
    *ROWS[:4],
    {
        "id": "talk",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "not learned", "weight": 0},
            {"role": "user", "content": "c"},
            {"role": "assistant", "content": "learned"},
        ],
    },
    {
        "id": "calls",
        "messages": [
            {"role": "user", "content": "2 km in miles?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "t", "content": "1.24"},
            {"role": "assistant", "content": "1.24 miles."},
        ],
        "tools": TOOLS_OF_A_ROW,
    },
    {"id": "6", "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
    {"id": "7", "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "weight": 1}]},
]
"""Rows of the chat prompt: triples, and conversations with weights, several turns, tools."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    options.add_argument("--keep", type=Path, help="folder of the environments, kept and used again")
    options.add_argument("--no-training", action="store_true")
    options.add_argument("--inside", nargs=2, metavar=("TOOL", "FOLDER"), help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.inside:
        return READERS[asked.inside[0]](Path(asked.inside[1]))
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.keep or Path(temporary)).resolve()
        work = Path(temporary).resolve() / "work"
        tiny(work / "model")
        (work / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
        write_talks(work)
        failed = [tool for tool in TOOLS if not checked(tool, folder / tool, work, train=not asked.no_training)]
    print(f"NOT GOOD: {', '.join(failed)}" if failed else "good")
    return bool(failed)


def checked(tool: str, folder: Path, work: Path, *, train: bool) -> bool:
    """Whether a program reads, and trains by, what is exported to it."""
    python = environment(tool, folder)
    exports = work / tool
    write_exports(tool, exports)
    done = subprocess.run([python, __file__, "--inside", tool, str(exports)], env=offline(python), check=False)
    good = done.returncode == 0
    for name in ("train-full-alpaca", "train-lora-chat") if train else ():
        where = exports / name
        ran = subprocess.run(
            ["bash", "train.sh"],
            cwd=where,
            env=offline(python),
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        # Two steps of four rows: the last checkpoint is of the second.
        trained = ran.returncode == 0 and (where / "output" / "checkpoint-2").is_dir()
        if "lora" in name:
            trained = trained and any(where.glob("**/merged/model.safetensors"))
        print(f"{tool}: {name}: {'trained' if trained else 'NOT TRAINED'}", flush=True)
        if not trained:
            print((ran.stdout + ran.stderr)[-4000:])
        good = good and trained
    return good


def environment(tool: str, folder: Path) -> Path:
    """The Python of the program's own environment."""
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        sys.exit("this Python has no torch")
    ours = Path(found.origin).resolve().parents[1]
    for path in (ours / "torch", ours / "torchgen", ours / "functorch", *ours.glob("torch-*.dist-info")):
        (site / path.name).symlink_to(path)
    torchrun = folder / "bin" / "torchrun"
    torchrun.write_text(f'#!/bin/sh\nexec {python} -m torch.distributed.run "$@"\n', encoding="utf-8")
    torchrun.chmod(0o755)
    if tool == "llama_factory":
        # It imports torchaudio, which has no wheel for CPU alone on PyPI, to read sound files: an empty one replaces it.
        (site / "torchaudio").mkdir()
        (site / "torchaudio" / "__init__.py").touch()
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--ignore-requires-python", *TOOLS[tool]["alone"]], check=True)
    subprocess.run([*pip, *TOOLS[tool]["with"]], check=True)
    (folder / "ready").touch()
    return python


def offline(python: Path) -> dict[str, str]:
    quiet = {"HF_HUB_OFFLINE": "1", "AXOLOTL_DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    return {**os.environ, **quiet, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}


def write_exports(tool: str, folder: Path) -> None:
    """Every kind of job that is read, and two that are trained."""
    from alpaqual import registry
    from alpaqual.job import Job, Launch, Lora, Machine, Model, Steps, Text

    def write(
        name: str, precision: str, steps: Steps, method: str, prompt: str, processes: int, held_out: bool
    ) -> None:
        job = Job(
            recipe="check",
            dataset="all",
            data="../../rows.jsonl" if prompt == "alpaca" else "../../talks.jsonl",
            held_out=f"../../{'rows' if prompt == 'alpaca' else 'talks'}.jsonl.held" if held_out else None,
            model=Model(path="../../model"),
            method=method,
            lora=Lora(8, 16.0, 0.05, None if prompt == "alpaca" else ("q_proj", "v_proj"), "merged"),
            text=Text(prompt, "response", 512, "truncate"),
            steps=steps,
            precision=precision,
            machine=Machine(4096, None, None, "auto", "auto", 1, None, 10.0, 2, False, None),
            launch=Launch("here", 1, processes, None, {}, None, None),
            data_sha256="cd" * 32,
        )
        (folder / name).mkdir(parents=True)
        for file, text in registry.find("trainers", tool)().files(job).items():
            (folder / name / file).write_text(text, encoding="utf-8")

    paper = Steps(3, 128, 2e-5, "cosine", 0.03, 0.01, 1.0, 42)
    for method, prompt, processes, held_out in itertools.product(
        ("full", "lora", "qlora"), ("alpaca", "chat"), (1, 4), (False, True)
    ):
        name = f"read-{method}-{prompt}-{processes}{'-held_out' if held_out else ''}"
        write(name, "bf16", paper, method, prompt, processes, held_out)
    short = Steps(1, 4, 1e-3, "cosine", 0.03, 0.0, None, 42)
    write("train-full-alpaca", "fp32", short, "full", "alpaca", 1, False)
    lora_precision = "fp32" if tool == "axolotl" else "bf16"
    write("train-lora-chat", lora_precision, short, "lora", "chat", 1, False)
    if lora_precision == "bf16":
        # Without a GPU transformers refuses bf16, unless use_cpu is set.
        with (folder / "train-lora-chat" / "config.yaml").open("a", encoding="utf-8") as config:
            config.write("use_cpu: true\n")


def tiny(folder: Path) -> None:
    """A model with random weights, and a tokenizer of bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = Tokenizer(models.BPE())
    letters.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "</s>"]
    letters.train_from_iterator(
        ["Below is an instruction"],
        trainers.BpeTrainer(vocab_size=300, special_tokens=special, initial_alphabet=alphabet),
    )
    letters.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=letters, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{{ eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=1024, bos_token_id=0, eos_token_id=1, **sizes
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def write_talks(work: Path) -> None:
    """Rows of the chat prompt, and the tokens and labels that alpaqual's own job has for them."""
    from transformers import AutoTokenizer

    from alpaqual.job import Text
    from alpaqual.trainers.fsdp_job.tokenization import tokenize

    (work / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TALKS), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(work / "model")
    wanted = []
    for example in tokenize(TALKS, tokenizer, Text("chat", "response", 512, "truncate")).all:
        learned = {at for start, end in example.loss for at in range(start, end)}
        labels = [token if at in learned else -100 for at, token in enumerate(example.tokens)]
        wanted.append([list(example.tokens), labels])
    assert len(wanted) == len(TALKS)
    (work / "talks.tokens.json").write_text(json.dumps(wanted), encoding="utf-8")


# What follows runs in the program's environment, where alpaqual is not.


def different_talks(rows: Any) -> list[str]:
    """Chat rows that the program trains on with other tokens or labels than alpaqual's own job; in any order."""
    wanted = json.loads(Path("../../talks.tokens.json").read_text(encoding="utf-8"))
    found = [[list(row["input_ids"]), list(row["labels"])] for row in rows]
    print(f"{len(found)} chat rows, {sum(label != -100 for _, labels in found for label in labels)} tokens with loss")
    return [] if sorted(found) == sorted(wanted) else [f"chat rows are {found}, not {wanted}"]


def versions(*names: str) -> str:
    from importlib.metadata import version

    return ", ".join(f"{name} {version(name)}" for name in names)


def same(want: Any, got: Any) -> bool:
    """Whether all that was written was read, with nothing but defaults beside it."""
    if isinstance(want, dict):
        return all(key in got and same(value, got[key]) for key, value in want.items())
    if isinstance(want, list):
        return len(want) == len(got) and all(map(same, want, got))
    return bool(want == got)


def report(tool: str, problems: list[str], read: int) -> int:
    print("\n".join([*problems, f"{tool}: {read} configurations read, {len(problems)} problems"]), flush=True)
    return bool(problems)


def read_axolotl(folder: Path) -> int:
    import yaml
    from axolotl.prompt_strategies import load
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from transformers import AutoTokenizer

    print(versions("axolotl", "pydantic", "transformers", "trl", "peft", "torch"), flush=True)
    gpu = {"bf16": True, "fp8": False, "n_gpu": 4, "n_node": 1, "compute_capability": "sm_90"}
    problems, read = [], 0
    for path in sorted(folder.glob("*/config.yaml")):
        read += 1
        os.chdir(path.parent)
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        problems += [
            f"{path.parent.name}: unknown: {key}" for key in values if key not in AxolotlInputConfig.model_fields
        ]
        got = validate_config(DictDefault(values), capabilities=gpu, env_capabilities={"torch_version": "2.13.0"})
        for key, value in values.items():
            if not same(value, got.to_dict().get(key)):
                problems.append(f"{path.parent.name}: {key}: wrote {value!r}, read {got.get(key)!r}")
    os.chdir(folder / "train-full-alpaca")
    values = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    cfg = validate_config(DictDefault(values), capabilities=gpu, env_capabilities={"torch_version": "2.13.0"})
    tokenizer = AutoTokenizer.from_pretrained("../../model")
    strategy = load("user_defined", tokenizer, cfg, cfg.datasets[0].type.to_dict())
    for row in ROWS[:2]:
        made = strategy.tokenize_prompt(row)
        text = tokenizer.decode(made["input_ids"])
        learned = [token for token, label in zip(made["input_ids"], made["labels"], strict=True) if label != -100]
        if (text, tokenizer.decode(learned)) != (f"<s>{stanford(row)}{row['output']}</s>", f"{row['output']}</s>"):
            problems.append(f"the prompt is {text!r}, learned {tokenizer.decode(learned)!r}")
    return report("axolotl", problems + different_talks(axolotl_rows(folder / "train-lora-chat")), read)


def axolotl_rows(folder: Path) -> Any:
    """The rows that axolotl trains on by an export of chat rows."""
    import yaml
    from axolotl.utils.config import normalize_config, validate_config
    from axolotl.utils.data import prepare_datasets
    from axolotl.utils.dict import DictDefault
    from transformers import AutoTokenizer

    os.chdir(folder)
    subprocess.run([sys.executable, "prepare.py"], check=True)
    values = yaml.safe_load(Path("config.yaml").read_text(encoding="utf-8"))
    gpu = {"bf16": True, "fp8": False, "n_gpu": 1, "n_node": 1, "compute_capability": "sm_90"}
    cfg = validate_config(DictDefault(values), capabilities=gpu, env_capabilities={"torch_version": "2.13.0"})
    normalize_config(cfg)
    rows, *_ = prepare_datasets(cfg, AutoTokenizer.from_pretrained(values["base_model"]))
    return rows


def read_llama_factory(folder: Path) -> int:
    os.environ |= {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29777",
    }
    from llamafactory.data import get_template_and_fix_tokenizer
    from llamafactory.data.converter import align_dataset
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.data.processor import SupervisedDatasetProcessor
    from llamafactory.hparams.parser import _TRAIN_ARGS, get_train_args
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer, HfArgumentParser

    print(versions("llamafactory", "transformers", "trl", "peft", "torch"), flush=True)
    problems, read = [], 0
    # The parser parts these by commas, and takes words for objects.
    parted = {"dataset", "eval_dataset", "lora_target", "report_to", "fsdp"}
    for path in sorted(folder.glob("*/config.yaml")):
        read += 1
        os.chdir(path.parent)
        values: Any = OmegaConf.to_container(OmegaConf.load(path))
        # Without a GPU transformers refuses bf16, unless use_cpu is set.
        parts = HfArgumentParser(_TRAIN_ARGS).parse_dict({**values, "use_cpu": True})  # fails at an unknown key
        got = {key: value for part in parts for key, value in vars(part).items()}
        for key, value in values.items():
            if key in parted:
                continue
            if not same(value, got[key]):
                problems.append(f"{path.parent.name}: {key}: wrote {value!r}, read {got[key]!r}")
        if values["lora_target"].split(",") != got["lora_target"] if "lora_target" in values else False:
            problems.append(f"{path.parent.name}: lora_target: read {got['lora_target']!r}")
        get_train_args({**values, "use_cpu": True})
    os.chdir(folder / "train-full-alpaca")
    subprocess.run([sys.executable, "prepare.py"], check=True)
    values = OmegaConf.to_container(OmegaConf.load("config.yaml"))
    model, data, training, *_ = get_train_args(values)
    tokenizer = AutoTokenizer.from_pretrained(model.model_name_or_path)
    template = get_template_and_fix_tokenizer(tokenizer, data)
    from datasets import load_dataset

    rows = load_dataset("json", data_files="train.jsonl", split="train")
    aligned = align_dataset(rows, get_dataset_list(["train"], ".")[0], data, training)
    made = SupervisedDatasetProcessor(template, tokenizer, None, data).preprocess_dataset(aligned[:2])
    for row, ids, labels in zip(ROWS, made["input_ids"], made["labels"], strict=False):
        text = tokenizer.decode(ids)
        learned = tokenizer.decode([token for token, label in zip(ids, labels, strict=True) if label != -100])
        # Its own newline behind the prompt, two behind the end, and no <s>: as the export's comment says.
        if (text, learned) != (f"{stanford(row)}\n{row['output']}</s>\n\n", f"{row['output']}</s>\n\n"):
            problems.append(f"the prompt is {text!r}, learned {learned!r}")
    talks = llama_factory_rows(folder / "train-lora-chat")
    return report("llama_factory", problems + different_talks(talks), read)


def llama_factory_rows(folder: Path) -> Any:
    """The rows that LLaMA-Factory trains on by an export of chat rows."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams.parser import get_train_args
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer

    os.chdir(folder)
    subprocess.run([sys.executable, "prepare.py"], check=True)
    model, data, training, *_ = get_train_args(OmegaConf.to_container(OmegaConf.load("config.yaml")))
    tokenizer = AutoTokenizer.from_pretrained(model.model_name_or_path)
    template = get_template_and_fix_tokenizer(tokenizer, data)
    return get_dataset(template, model, data, training, stage="sft", tokenizer=tokenizer)["train_dataset"]


def stanford(row: dict[str, str]) -> str:
    """The prompt of Stanford Alpaca's train.py, written down a second time."""
    more = ", paired with an input that provides further context" if row["input"] else ""
    given = f"### Input:\n{row['input']}\n\n" if row["input"] else ""
    return (
        f"Below is an instruction that describes a task{more}. Write a response that appropriately completes the request."
        f"\n\n### Instruction:\n{row['instruction']}\n\n{given}### Response:"
    )


READERS = {"axolotl": read_axolotl, "llama_factory": read_llama_factory}

if __name__ == "__main__":
    sys.exit(main())
