"""Real jobs on this machine: torchrun, gloo, up to four ranks on tiny models, stopped, killed and resumed."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
from shared import made_once  # noqa: E402
from small_model import gguf_file, safetensors_folder  # noqa: E402
from tiers import NIGHTLY  # noqa: E402
from training import TINY, Folder, tiny_job, write_tokenizer  # noqa: E402

from alpaqual.job import Job, Model  # noqa: E402
from alpaqual.llm._local_files import place_of  # noqa: E402
from alpaqual.llm._local_loading import read_model  # noqa: E402
from alpaqual.values import Endpoint  # noqa: E402

pytestmark = pytest.mark.slow

REAL_ROWS = 200 if NIGHTLY else 20
"""Rows that the real model is trained on."""


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="session")
def job(tokenizer: Path) -> Job:
    return tiny_job(tokenizer)


@pytest.fixture(scope="session")
def two(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """The job as two processes train it without a break."""
    return Folder(made_once(tmp_path_factory, "two", lambda path: Folder.of(path, job).run(2, torchrun=True)))


def distance(one: Folder, other: Folder) -> float:
    """The largest difference of any weight."""
    assert one.weights.keys() == other.weights.keys()
    return max(float((one.weights[name] - other.weights[name]).abs().max()) for name in one.weights)


def test_training_lowers_the_loss_and_reports_it(two: Folder) -> None:
    facts = two.manifest["training"]
    assert facts["rows"] + facts["rows_dropped"] == 40 and facts["rows_dropped"] and facts["rows_truncated"]
    assert facts["steps"] == 10 and facts["processes"] == 2
    assert facts["loss_last"] < facts["loss_first"]
    assert facts["held_out"]["after"] < facts["held_out"]["before"]
    assert facts["tokens"] == sum(line["tokens"] for line in two.steps)
    assert facts["cost_usd"] > facts["seconds"] / 3600 * 2 * 1.5
    assert not (two.path / "checkpoint").exists()
    assert [line["learning_rate"] for line in two.steps][:2] == [0.0, 2e-3]


def test_every_weight_learns(two: Folder, job: Job) -> None:
    from transformers import AutoModelForCausalLM, LlamaConfig

    torch.manual_seed(job.steps.seed)
    before = AutoModelForCausalLM.from_config(LlamaConfig(**TINY), dtype=torch.float32).state_dict()
    assert before.keys() == two.weights.keys()
    assert all(not torch.equal(before[name], weight) for name, weight in two.weights.items())


def test_the_model_loads_and_generates(two: Folder) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(two.path / "model")
    tokenizer = AutoTokenizer.from_pretrained(two.path / "model")
    assert tokenizer.chat_template and model.dtype == torch.float32
    asked = tokenizer("### Instruction:", return_tensors="pt")
    generated = model.generate(
        asked["input_ids"], attention_mask=asked["attention_mask"], max_new_tokens=3, pad_token_id=1
    )
    assert generated.shape[1] > asked["input_ids"].shape[1]


@pytest.mark.parametrize("processes", [1, 4])
def test_the_number_of_processes_changes_nothing(processes: int, job: Job, two: Folder, tmp_path: Path) -> None:
    other = Folder.of(tmp_path / "job", job).run(processes)
    assert other.losses == pytest.approx(two.losses, abs=1e-5)
    assert distance(other, two) < 1e-5


def test_replicas_change_no_result(tokenizer: Path, two: Folder, tmp_path: Path) -> None:
    other = Folder.of(tmp_path / "job", tiny_job(tokenizer, replicas=2)).run(4)
    assert other.losses == pytest.approx(two.losses, abs=1e-5)


def stop(folder: Folder, after: int) -> int:
    """Start a job on two ranks and send SIGTERM after some step. Returns its last step."""
    process = folder.start(2)
    try:
        folder.wait_for(after, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) != 0
    finally:
        folder.kill(process)
    assert "stopped on a signal; a checkpoint was saved" in folder.log
    assert not (folder.path / "model").exists()
    return folder.steps[-1]["step"]


def test_a_stopped_job_resumes_bit_by_bit(job: Job, two: Folder, tmp_path: Path) -> None:
    folder = Folder.of(tmp_path / "job", job)
    done = stop(folder, 3)
    assert 3 <= done < 10
    text = (folder.path / "job.json").read_text(encoding="utf-8")
    (folder.path / "job.json").write_text(text.replace('"k1"', '"k2"'), encoding="utf-8")
    folder.run(1, fails=True)
    assert "has checkpoints of another job" in folder.log
    (folder.path / "job.json").write_text(text, encoding="utf-8")
    folder.run(2)
    assert f"resuming after step {done}" in folder.log
    assert folder.losses == two.losses
    assert distance(folder, two) == 0.0
    assert [line["step"] for line in folder.steps] == list(range(1, 11))


def test_a_stopped_job_resumes_on_another_number_of_processes(job: Job, two: Folder, tmp_path: Path) -> None:
    folder = Folder.of(tmp_path / "job", job)
    stop(folder, 4)
    folder.run(1)
    assert folder.losses == pytest.approx(two.losses, abs=1e-5)
    assert distance(folder, two) < 1e-5


def test_a_job_killed_at_random_moments_ends_with_the_same_weights(
    tokenizer: Path, two: Folder, tmp_path: Path
) -> None:
    folder = Folder.of(tmp_path / "job", tiny_job(tokenizer, checkpoint_steps=1))
    chance = random.Random(7)
    steps = (1, 4, 7) if NIGHTLY else (2, 6)
    for step in steps:
        skip = len(folder.log) if (folder.path / "log.txt").exists() else 0
        process = folder.start(2)
        try:
            folder.wait_for(step, process, skip)
            # Within a step, a checkpoint, or between both.
            time.sleep(chance.random() * 0.7)
        finally:
            folder.kill(process)
    folder.run(2)
    assert folder.log.count("resuming after step") >= len(steps) - 1
    assert distance(folder, two) == 0.0
    assert not list(folder.path.glob("checkpoint/*"))


def test_a_finished_job_is_not_repeated(two: Folder) -> None:
    before = (two.path / "model" / "model.safetensors").stat().st_mtime_ns
    two.run(1)
    assert "is already trained" in two.log
    assert (two.path / "model" / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("output", ["merged", "adapter"])
def test_only_adapters_are_trained(output: str, tokenizer: Path, two: Folder, tmp_path: Path) -> None:
    base = Model(path=str(two.path / "model"))
    folder = Folder.of(tmp_path / "job", tiny_job(tokenizer, method="lora", model=base, output=output, epochs=1)).run(2)
    facts = folder.manifest["training"]
    assert facts["held_out"]["after"] < facts["held_out"]["before"]
    # It starts from the model that the other job ended with.
    assert facts["held_out"]["before"] == pytest.approx(two.manifest["training"]["held_out"]["after"], abs=1e-5)
    if output == "adapter":
        assert all("lora_" in name for name in folder.weights)
        # The folder is a local model: its adapters fit the base model that it names.
        place = place_of(Endpoint("local", str(folder.path / "model")))
        merged = read_model(place, torch.float32).state_dict()
        assert any(not torch.equal(merged[name], two.weights[name]) for name in two.weights)
        return
    changed = {name for name, weight in folder.weights.items() if not torch.equal(weight, two.weights[name])}
    assert changed == {name for name in folder.weights if "_proj" in name}


@pytest.mark.parametrize("method", ["lora", "qlora"] if NIGHTLY else ["lora"])
def test_stopped_adapters_resume_bit_by_bit(method: str, tokenizer: Path, two: Folder, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    base = Model(path=str(two.path / "model"))
    job = tiny_job(tokenizer, method=method, model=base, output="adapter", dropout=0.1, checkpoint_minutes=0.001)
    whole, broken = Folder.of(tmp_path / "whole", job).run(1), Folder.of(tmp_path / "broken", job)
    process = broken.start(1)
    try:
        broken.wait_for(3, process)
    finally:
        broken.kill(process)
    broken.run(1)
    assert "resuming after step" in broken.log
    assert broken.losses == whole.losses and distance(broken, whole) == 0.0
    facts = whole.manifest["training"]["held_out"]
    assert facts["after"] < facts["before"]


def test_qlora_is_the_same_on_two_processes(tokenizer: Path, two: Folder, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    base = Model(path=str(two.path / "model"))
    found = tiny_job(tokenizer, method="qlora", model=base, epochs=1, output="merged")
    one, pair = Folder.of(tmp_path / "one", found).run(1), Folder.of(tmp_path / "pair", found).run(2)
    assert one.losses == pytest.approx(pair.losses, abs=1e-5)
    assert distance(one, pair) < 1e-5
    changed = {name for name, weight in pair.weights.items() if not torch.equal(weight, two.weights[name])}
    assert changed == {name for name in pair.weights if "_proj" in name}


def test_a_job_whose_data_changed_is_not_trained(tokenizer: Path, tmp_path: Path) -> None:
    folder = Folder.of(tmp_path / "job", tiny_job(tokenizer, data_sha256="0" * 64))
    folder.run(1, fails=True)
    assert "has other rows than this job was written for" in folder.log


def test_a_nan_loss_ends_the_job_with_the_rows(tokenizer: Path, tmp_path: Path) -> None:
    folder = Folder.of(tmp_path / "job", tiny_job(tokenizer, learning_rate=1e30, warmup_ratio=0.0, clip=None))
    folder.run(2, fails=True)
    failure = (folder.path / "failure.json").read_text(encoding="utf-8")
    assert "the step was not applied" in failure and "row0" in failure
    assert not (folder.path / "model").exists()


def test_bf16_and_activation_checkpointing_learn_the_same(tokenizer: Path, two: Folder, tmp_path: Path) -> None:
    changed = tiny_job(tokenizer, precision="bf16", activation_checkpointing=True, tensorboard=True)
    folder = Folder.of(tmp_path / "job", changed).run(2)
    assert folder.losses == pytest.approx(two.losses, abs=0.05)
    assert all(weight.dtype == torch.bfloat16 for weight in folder.weights.values())
    assert list((folder.path / "tensorboard").glob("events*"))


def test_a_real_model_learns_from_real_rows(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """SmolLM2-135M with adapters, on rows of a few words; in the nightly tier out of its GGUF file."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from alpaqual.trainers._rows import read_rows
    from alpaqual.trainers.fsdp_job.tokenization import tokenize

    model = gguf_file() if NIGHTLY else safetensors_folder(tmp_path_factory)
    job = tiny_job(
        model, model=Model(path=str(model)), method="lora", rank=16, alpha=32, prompt="chat", batch_size=10 if NIGHTLY else 4, epochs=1,
        learning_rate=3e-4 if NIGHTLY else 5e-4, max_length=80, micro_batch_tokens=512,
    )  # fmt: skip
    folder = Folder.of(tmp_path / "job", job, REAL_ROWS).run(1)
    facts = folder.manifest["training"]
    assert facts["rows"] + facts["rows_dropped"] == REAL_ROWS and facts["rows"] > 0.75 * REAL_ROWS
    assert facts["held_out"]["after"] < facts["held_out"]["before"] - 0.05

    trained = AutoModelForCausalLM.from_pretrained(folder.path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder.path / "model")
    # The saved model has the loss that was measured.
    held_out = tokenize(list(read_rows(folder.path / "held_out.jsonl")), tokenizer, job.text)
    lost = 0.0
    for row in held_out.all:
        with torch.no_grad():
            logits = trained(input_ids=torch.tensor([row.tokens])).logits[0, row.loss[0][0] - 1 : -1]
        targets = torch.tensor(row.tokens[row.loss[0][0] :])
        lost += float(torch.nn.functional.cross_entropy(logits, targets, reduction="sum"))
    assert lost / held_out.loss_tokens == pytest.approx(facts["held_out"]["after"], abs=1e-4)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Name three primary colors."}], add_generation_prompt=True, return_tensors="pt"
    )
    generated = trained.generate(**asked, max_new_tokens=20, do_sample=False, pad_token_id=tokenizer.eos_token_id)
    answer = tokenizer.decode(generated[0, asked["input_ids"].shape[1] :])
    assert "red" in answer.lower() and "blue" in answer.lower()
