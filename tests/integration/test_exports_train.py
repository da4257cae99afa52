"""The export for TRL, read by TRL's own parser and trained by TRL: a tiny model with random weights, on the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from training.talks import CALL, CALLS

from alpaqual import registry
from alpaqual.job import Job, Launch, Lora, Machine, Model, Steps, Text

pytestmark = [
    pytest.mark.slow,
    # TRL's own configuration sets it, so TRL is not asked for anything that it does not do.
    pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning"),
]

ROWS = [
    {"id": str(n), "instruction": f"Add {{x}} to {n}", "input": "1 2" if n % 2 else "", "output": "three " * (n + 1)}
    for n in range(8)
]


def export(folder: Path, **changes: Any) -> Path:
    """The folder of an export, two steps of four rows, beside a model and its data."""
    parts: dict[str, Any] = {
        "model": Model(path="../model"),
        "method": "full",
        "lora": Lora(4, 8.0, 0.0, None, "merged"),
        "text": Text("alpaca", "response", 256, "truncate"),
        "steps": Steps(1, 4, 1e-3, "cosine", 0.03, 0.0, None, 42),
        "precision": "fp32",
        "machine": Machine(512, None, None, "auto", "auto", 1, None, 10.0, 2, False, None),
        "launch": Launch("here", 1, None, None, {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}, None, None),
    }
    job = Job(recipe="trial", dataset="all", data="../rows.jsonl", **{**parts, **changes})
    where = folder / "all"
    where.mkdir()
    for name, text in registry.find("trainers", "trl")().files(job).items():
        (where / name).write_text(text, encoding="utf-8")
    return where


def parsed(where: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """config.yaml as TRL's parser reads it: SFTConfig and ModelConfig."""
    from dataclasses import make_dataclass

    from trl import ModelConfig, SFTConfig, TrlParser

    monkeypatch.chdir(where)
    names = ("train_file", "held_out_file", "prompt", "too_long", "loss_on", "tokenizer")
    ours = make_dataclass("Ours", [(name, str, "") for name in names])
    _, training, model = TrlParser((ours, SFTConfig, ModelConfig)).parse_args_and_config(["--config", "config.yaml"])
    return training, model


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A model that holds bytes and a few words, and eight rows."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bytes_ = Tokenizer(models.BPE())
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    bytes_.train_from_iterator(
        ["Below is an instruction that describes a task."],
        trainers.BpeTrainer(vocab_size=300, special_tokens=["</s>"], initial_alphabet=letters, show_progress=False),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_, eos_token="</s>")
    tokenizer.save_pretrained(tmp_path / "model")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=512, eos_token_id=0, **sizes)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return tmp_path


def test_the_parser_of_trl_reads_every_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lora = Lora(8, 4.0, 0.25, ("q_proj",), "adapter")
    steps = Steps(3, 128, 2e-5, "linear", 0.03, 0.01, None, 7)
    where = export(tmp_path, method="lora", lora=lora, steps=steps, text=Text("chat", "all", 512, "drop"))
    training, model = parsed(where, monkeypatch)

    assert (model.use_peft, model.lora_r, model.lora_alpha, model.lora_dropout) == (True, 8, 4, 0.25)
    assert (model.lora_target_modules, model.dtype) == ("q_proj", "float32")
    assert training.per_device_train_batch_size * training.gradient_accumulation_steps == 128
    assert (training.num_train_epochs, training.learning_rate, training.weight_decay) == (3, 2e-5, 0.01)
    assert (training.lr_scheduler_type, training.get_warmup_steps(1000), training.max_grad_norm) == ("linear", 30, 0)
    assert (training.seed, training.max_length, training.packing) == (7, 512, False)
    assert (training.completion_only_loss, training.bf16, training.report_to) == (False, False, [])


def test_the_parser_of_trl_reads_fsdp2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training, _ = parsed(export(tmp_path, launch=Launch("here", 1, 4, None, {}, None, None)), monkeypatch)

    assert (training.fsdp, training.fsdp_config["version"]) == (True, 2)
    assert training.per_device_train_batch_size * training.gradient_accumulation_steps * 4 == 4


def test_qlora_is_nf4_quantized_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trl import get_quantization_config

    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    where = export(tmp_path, method="qlora", precision="bf16")
    config = (where / "config.yaml").read_text(encoding="utf-8")
    # Without a GPU transformers refuses bf16, unless use_cpu is set.
    (where / "config.yaml").write_text(config + "use_cpu: true\n", encoding="utf-8")
    training, model = parsed(where, monkeypatch)
    four = get_quantization_config(model)

    assert training.bf16
    assert (four.bnb_4bit_quant_type, four.bnb_4bit_use_double_quant) == ("nf4", True)
    assert str(four.bnb_4bit_compute_dtype) == "torch.bfloat16"


def test_trl_trains_and_merges(project: Path) -> None:
    from safetensors.torch import load_file

    where = export(project, method="lora", held_out="../rows.jsonl")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def trained() -> str:
        done = subprocess.run(
            ["bash", "train.sh"], cwd=where, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = trained()
    state = json.loads((where / "output" / "checkpoint-2" / "trainer_state.json").read_text(encoding="utf-8"))
    losses = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    held_out = [entry["step"] for entry in state["log_history"] if "eval_loss" in entry]

    assert "../rows.jsonl: 8 rows, 0 more" in said
    assert (state["global_step"], len(losses), held_out) == (2, 2, [0, 2])
    merged, base = (load_file(project / name / "model.safetensors") for name in ("all/merged", "model"))
    assert merged.keys() == base.keys()
    assert any((merged[name] != base[name]).any() for name in base)
    assert (where / "merged" / "tokenizer.json").exists()


def exported(where: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module train.py of an export."""
    spec = importlib.util.spec_from_file_location("exported_train", where / "train.py")
    assert spec is not None and spec.loader is not None
    train = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "exported_train", train)
    monkeypatch.syspath_prepend(str(where))
    monkeypatch.delitem(sys.modules, "chat_tokens", raising=False)
    spec.loader.exec_module(train)
    return train


HEADER = "{{ tools | tojson if tools else '' }}{% for m in messages %}<|{{ m['role'] }}|>\n"
TURN = (
    "{{ m['content'] or '' }}{% for c in m['tool_calls'] or [] %}{{ c['function']['name'] }}{{ c['function']['arguments'] | tojson }}"
    "{% endfor %}</s>"
)
PLAIN = HEADER + TURN + "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
MARKED = (
    f"{HEADER}{{% if m['role'] == 'assistant' %}}{{% generation %}}{TURN}{{% endgeneration %}}{{% else %}}{TURN}{{% endif %}}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
TALKS: list[dict[str, Any]] = [
    {
        "id": "several",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
            {"role": "assistant", "content": "d"},
        ],
    },
    CALLS,
]
WEIGHTED = {
    "id": "weights",
    "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "weight": 0},
        {"role": "user", "content": "c"},
        {"role": "assistant", "content": "d"},
    ],
}


def own_labels(rows: list[dict[str, Any]], tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """Tokens and labels of alpaqual's own job."""
    from alpaqual.trainers.fsdp_job.tokenization import tokenize

    found = []
    for example in tokenize(rows, tokenizer, Text("chat", "response", 256, "truncate")).all:
        learned = {at for start, end in example.loss for at in range(start, end)}
        labels = [token if at in learned else -100 for at, token in enumerate(example.tokens)]
        found.append((list(example.tokens), labels))
    return found


def trained_on_by_trl(project: Path, rows: list[dict[str, Any]], tokenizer: Any, **settings: Any) -> list[Any]:
    """Tokens and labels of TRL's own trainer."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    options = SFTConfig(str(project / "output"), max_length=256, report_to="none", bf16=False, use_cpu=True, **settings)
    data = Dataset.from_list(rows)
    trainer = SFTTrainer(str(project / "model"), args=options, train_dataset=data, processing_class=tokenizer)
    return [(list(row["input_ids"]), list(row["labels"])) for row in trainer.train_dataset]


def test_the_same_tokens_have_loss_in_trl(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the export, and by TRL's own loss on assistant turns, which reads the generation mask and has no weights."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(project / "model")
    tokenizer.chat_template = MARKED
    objects = json.loads(json.dumps(TALKS).replace(json.dumps(CALL["function"]["arguments"]), '{"km": 2}'))
    for row, wanted in zip(objects, own_labels(TALKS, tokenizer), strict=True):
        assert trained_on_by_trl(project, [row], tokenizer, assistant_only_loss=True) == [wanted]

    where = export(project, text=Text("chat", "response", 256, "truncate"))
    train = exported(where, monkeypatch)
    rows = [*ROWS, *TALKS, WEIGHTED]
    (project / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    settings = train.Rows(str(project / "talks.jsonl"), prompt="chat", too_long="truncate", loss_on="response")
    for template in (MARKED, PLAIN):
        tokenizer.chat_template = template
        data = list(train.read(settings.train_file, settings, tokenizer, 256))
        wanted = own_labels(rows, tokenizer)
        assert len(wanted) == len(rows)
        assert trained_on_by_trl(project, data, tokenizer, completion_only_loss=False) == wanted


def test_rows_have_the_exact_text_of_the_prompt(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer

    from alpaqual.training_prompts import alpaca_prompt

    where = export(project)
    train = exported(where, monkeypatch)
    tokenizer = AutoTokenizer.from_pretrained(project / "model")
    monkeypatch.chdir(where)

    def read(**of: Any) -> Any:
        return train.read("../rows.jsonl", train.Rows("../rows.jsonl", loss_on="response", **of), tokenizer, 150)

    rows = read(prompt="alpaca", too_long="truncate")
    assert [row["prompt"] for row in rows] == [alpaca_prompt(row) for row in ROWS]
    assert [row["completion"] for row in rows] == [row["output"] for row in ROWS]
    lengths = [len(tokenizer(row["prompt"] + row["completion"])["input_ids"]) + 1 for row in rows]
    kept = read(prompt="alpaca", too_long="drop")
    assert len(kept) == sum(length <= 150 for length in lengths) and 0 < len(kept) < len(rows)
