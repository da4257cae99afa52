"""What the exports write, byte for byte; `python tests/unit/trainers/test_exports.py` writes the goldens again."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiers import examples

from alpaqual import registry, training_prompts
from alpaqual.job import Job, Launch, Lora, Machine, Model, Steps, Text
from alpaqual.trainers import _chat, _exports
from alpaqual.trainers._yaml import document, quoted

GOLDENS = Path(__file__).parent / "exports"
TOOLS = ("axolotl", "llama_factory", "trl")
HOSTILE = [
    "a\nb: !!python/object:x",
    '"; touch owned #',
    "$(touch owned) `touch owned` ${HOME}",
    "'''\"\"\"\\",
    "\x7f\x85\u2028\u2029\ufeff \t\r\0",
    "Übung 🎉 {instruction} %s ---",
]


def make(**changes: Any) -> Job:
    """A job; what belongs to one of its parts is changed there."""
    parts: dict[str, Any] = {
        "model": Model(path="../../../../models/llama"),
        "lora": Lora(16, 32.0, 0.05, None, "merged"),
        "text": Text("alpaca", "response", 512, "truncate"),
        "steps": Steps(3, 128, 2e-5, "cosine", 0.03, 0.0, 1.0, 42),
        "machine": Machine(4096, None, None, "auto", "auto", 1, None, 10.0, 2, False, None),
        "launch": Launch("here", 1, None, None, {}, None, None),
    }
    for name, part in parts.items():
        mine = {key: changes.pop(key) for key in list(changes) if name not in changes and hasattr(part, key)}
        parts[name] = changes.pop(name, replace(part, **mine))
    whole = {"recipe": "trial", "dataset": "quality", "data": "../../../datasets/quality.jsonl", "method": "full"}
    return Job(**{**whole, "precision": "bf16", "key": "ab" * 32, "data_sha256": "cd" * 32, **parts, **changes})


def files(tool: str, **changes: Any) -> dict[str, str]:
    return dict(registry.find("trainers", tool)().files(make(**changes)))


def values(tool: str, **changes: Any) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(files(tool, **changes)["config.yaml"])
    return read


CASES: dict[str, dict[str, Any]] = {
    "full": {},
    "lora-chat": {"method": "lora", "prompt": "chat", "targets": ("q_proj", "v_proj"), "held_out": "../h.jsonl"},
    "qlora": {"method": "qlora", "environment": {"NCCL_DEBUG": "WARN"}},
    "nodes": {"nodes": 2, "processes": 4, "rendezvous": "node0:29500", "replicas": 2, "checkpoint_steps": 50},
}


def golden(tool: str, case: str) -> str:
    """All files of an export, concatenated."""
    found = files(tool, **CASES[case])
    if _exports.CHAT in found:
        found[_exports.CHAT] = "(a copy of alpaqual/trainers/_chat.py)\n"
    return "".join(f"=== {name}\n{text}" for name, text in found.items())


@pytest.mark.parametrize("tool", TOOLS)
def test_chat_rows_are_tokenized_by_our_own_module(tool: str) -> None:
    ours = Path(_chat.__file__).read_text(encoding="utf-8")
    assert files(tool, prompt="chat")[_exports.CHAT] == ours
    assert _exports.CHAT not in files(tool)
    # The copy runs where alpaqual is not installed.
    assert "import alpaqual" not in ours and "from alpaqual" not in ours


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("tool", TOOLS)
def test_files_match_the_goldens(tool: str, case: str) -> None:
    assert golden(tool, case) == (GOLDENS / f"{tool}.{case}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("tool", TOOLS)
def test_every_setting_is_exported(tool: str) -> None:
    got = values(
        tool,
        method="lora",
        rank=8,
        alpha=4.0,
        dropout=0.25,
        targets=("q_proj",),
        loss_on="all",
        max_length=1024,
        epochs=5,
        batch_size=96,
        learning_rate=1e-5,
        schedule="linear",
        warmup_ratio=0.1,
        weight_decay=0.01,
        clip=0.5,
        seed=7,
        processes=2,
        attention="flash_attention_2",
        compile=False,
        activation_checkpointing=False,
        checkpoint_steps=20,
        checkpoints_kept=3,
        tensorboard=True,
        held_out="../held.jsonl",
    )
    names = {
        "axolotl": {
            "lora_r": 8, "lora_alpha": 4, "lora_dropout": 0.25, "lora_target_modules": ["q_proj"], "num_epochs": 5,
            "train_on_inputs": True, "sequence_len": 1024, "micro_batch_size": 4, "lr_scheduler": "linear",
            "warmup_ratio": 0.1, "attn_implementation": "flash_attention_2", "use_tensorboard": True,
        },
        "llama_factory": {
            "lora_rank": 8, "lora_alpha": 4, "lora_dropout": 0.25, "lora_target": "q_proj", "num_train_epochs": 5,
            "train_on_prompt": True, "cutoff_len": 1024, "per_device_train_batch_size": 4,
            "lr_scheduler_type": "linear", "warmup_ratio": 0.1, "flash_attn": "fa2", "report_to": "tensorboard",
            "eval_dataset": "held_out",
        },
        "trl": {
            "lora_r": 8, "lora_alpha": 4, "lora_dropout": 0.25, "lora_target_modules": ["q_proj"],
            "num_train_epochs": 5, "completion_only_loss": False, "max_length": 1024, "dtype": "float32",
            "per_device_train_batch_size": 4, "lr_scheduler_type": "linear", "warmup_steps": 0.1,
            "attn_implementation": "flash_attention_2", "report_to": "tensorboard", "held_out_file": "../held.jsonl",
        },
    }  # fmt: skip
    everywhere = {
        "gradient_accumulation_steps": 12, "learning_rate": 1e-5, "weight_decay": 0.01, "max_grad_norm": 0.5, "seed": 7,
        "bf16": True, "torch_compile": False, "save_strategy": "steps", "save_steps": 20, "save_total_limit": 3,
        "eval_strategy": "epoch", "eval_on_start": True,
    }  # fmt: skip
    assert {name: got.get(name) for name in names[tool] | everywhere} == names[tool] | everywhere
    assert got["fsdp_config"]["activation_checkpointing"] is False


@pytest.mark.parametrize("tool", TOOLS)
def test_settings_that_are_not_exported_are_named(tool: str) -> None:
    written_files = files(tool, cross_entropy="liger", attention="varlen", slurm={"time": "1"}, price_per_gpu_hour=2.0)
    head = written_files["config.yaml"].split("\n", 40)

    for setting in ("cross_entropy", "attention", "launch.slurm", "price_per_gpu_hour", "checkpoints.every_minutes"):
        assert any(line.startswith(f"# - training.{setting}:") for line in head), setting


@pytest.mark.parametrize("tool", TOOLS)
def test_no_clipping_no_weights_of_other_precision(tool: str) -> None:
    got = values(tool, clip=None, precision="fp32")

    assert got["max_grad_norm"] == 0
    assert (got["bf16"], got["fp16"]) == (False, False)


@given(batch=st.integers(1, 600), processes=st.integers(1, 9), tokens=st.integers(1, 9000), length=st.integers(1, 2048))
def test_the_batch_is_split_exactly_or_refused(batch: int, processes: int, tokens: int, length: int) -> None:
    job = make(batch_size=batch, processes=processes, micro_batch_tokens=tokens, max_length=length)
    if batch % processes:
        with pytest.raises(ValueError, match=r"training\.batch_size.*training\.launch"):
            _exports.split_batch(job)
        return
    rows, times = _exports.split_batch(job)

    assert rows * times * processes == batch
    assert rows == 1 or rows * length <= tokens


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    *((tool, {"model": Model(config={"model_type": "llama"})}, "training.base_model") for tool in TOOLS),
    *((tool, {"model": Model(path="m/Llama.GGUF")}, "training.base_model") for tool in TOOLS),
    *((tool, {"model": Model()}, "training.base_model") for tool in TOOLS),
    *((tool, {"batch_size": 128, "processes": 3}, "training.batch_size") for tool in TOOLS),
    *((tool, {"nodes": 2}, "training.launch.rendezvous") for tool in TOOLS),
    *((tool, {"warmup_ratio": 1.0}, "training.warmup_ratio") for tool in TOOLS),
    *((tool, {"method": "lora", "alpha": 0.5}, "training.lora.alpha") for tool in TOOLS),
    ("axolotl", {"model": Model(path="m", tokenizer="t.gguf")}, "training.tokenizer"),
    ("llama_factory", {"model": Model(path="m", tokenizer="t")}, "training.tokenizer"),
    ("llama_factory", {"model": Model(path="m/${x}")}, "training.base_model"),
    ("llama_factory", {"too_long": "drop"}, "training.too_long"),
    ("llama_factory", {"method": "lora", "precision": "fp32"}, "training.precision"),
    ("llama_factory", {"method": "lora", "targets": ("q,v",)}, "training.lora.targets"),
    ("trl", {"method": "qlora", "precision": "fp32"}, "training.precision"),
]


@pytest.mark.parametrize(("tool", "changes", "setting"), REFUSED, ids=lambda value: str(value)[:40])
def test_jobs_that_a_program_cannot_train_are_refused(tool: str, changes: dict[str, Any], setting: str) -> None:
    with pytest.raises(ValueError, match=f"^{setting}: "):
        files(tool, **changes)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("tool", TOOLS)
def test_hostile_names_stay_names(tool: str, text: str) -> None:
    path = f"/d/{text}" if tool != "llama_factory" else "/d"
    launch = {"environment": {"NAME": text}, "processes": 2}
    written = files(
        tool, recipe=text, dataset=text, data=text, held_out=f"{text}h", model=Model(path=path), method="lora", **launch
    )
    got = yaml.safe_load(written["config.yaml"])

    assert got.get("base_model", got.get("model_name_or_path")) == path
    assert set(got) == set(values(tool, method="lora", held_out="h", **launch))
    assert [line for line in written["config.yaml"].splitlines()[:10] if not line.startswith("#")] == []
    export = next(line for line in written["train.sh"].split("\nexport ")[1:])
    assert shlex.split(export)[0] == f"NAME={text}"
    for name, source in written.items():
        if name.endswith(".py"):
            compile(source, name, "exec")
            assert source.isascii()
        if name.endswith(".json"):
            json.loads(source)


def test_prepared_rows_have_the_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"id": "1", "instruction": "Add {x}", "input": "1\u2028", "output": "a"},
        {"id": "2", "instruction": "I", "input": "", "output": "b"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def prepared(tool: str) -> list[dict[str, Any]]:
        exec(compile(files(tool, data="rows.jsonl")["prepare.py"], "prepare.py", "exec"), {})
        return [json.loads(line) for line in (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()]

    # LLaMA-Factory's template `alpaca`: system, "### Instruction:\n", the instruction, "\n\n### Response:\n".
    whole = [
        f"{row['system']}### Instruction:\n{row['instruction']}\n\n### Response:\n" for row in prepared("llama_factory")
    ]
    assert whole == [
        training_prompts.WITH_INPUT.format(**rows[0]) + "\n",
        training_prompts.WITHOUT_INPUT.format(**rows[1]) + "\n",
    ]


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
TREES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12)


@given(tree=st.dictionaries(st.text(), TREES), comment=st.lists(st.text()))
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_yaml_reads_what_was_written(tree: dict[str, Any], comment: list[str]) -> None:
    text = document([quoted(line) for line in comment], tree)

    assert (yaml.safe_load(text) or {}) == tree
    assert text.count("\n") >= len(comment) + len(tree)
    assert all(line.startswith("# ") for line in text.split("\n")[: len(comment)])


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_stays_a_number(value: float) -> None:
    read = yaml.safe_load(document([], {"x": value}))["x"]

    assert isinstance(read, float) and read == value


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="nan"):
        document([], {"x": float("nan")})


@pytest.mark.parametrize("tool", TOOLS)
def test_the_command_runs_the_script(tool: str) -> None:
    assert registry.find("trainers", tool)().command(make()) == ("bash", "train.sh")
    assert "train.sh" in files(tool)


if __name__ == "__main__":
    GOLDENS.mkdir(exist_ok=True)
    for tool in TOOLS:
        for case in CASES:
            (GOLDENS / f"{tool}.{case}.txt").write_text(golden(tool, case), encoding="utf-8")
