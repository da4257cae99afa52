"""Tiny training jobs: real rows, a tokenizer trained on them, small models, and jobs that torchrun runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tiers import NIGHTLY

from alpaqual.job import Job, Launch, Lora, Machine, Model, Steps, Text, to_json

from .forking import Ranks, run_ranks

ROOT = Path(__file__).resolve().parents[2]
WORDS = 512
TINY = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": WORDS,
    "bos_token_id": 0,
    "eos_token_id": 1,
}
TEMPLATE = (
    "{% for m in messages %}<s>{{ m['role'] }}\n{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def rows(count: int, start: int = 0) -> list[dict[str, str]]:
    """Rows of the quickstart as training reads them."""
    lines = (ROOT / "recipes" / "data" / "quickstart.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    found = [row for row in found if row["instruction"] and row["output"]][start : start + count]
    assert len(found) == count
    words = ("instruction", "input", "output")
    return [{"id": f"row{start + n:04d}", **{word: row[word] for word in words}} for n, row in enumerate(found)]


def write_rows(path: Path, found: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


def write_tokenizer(folder: Path) -> Path:
    """A byte-pair tokenizer of WORDS tokens, trained on the rows."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=WORDS, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator((text for row in rows(200) for text in row.values()), trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", chat_template=TEMPLATE)
    wrapped.save_pretrained(folder)
    return folder


def tiny_job(tokenizer: Path, **more: Any) -> Job:
    """A job of 40 rows, 10 steps and two epochs; `more` are fields of the job or of its parts."""
    parts: dict[str, Any] = {
        "lora": Lora(rank=4, alpha=8, dropout=0.0, targets=None, output="merged"),
        "text": Text(prompt="alpaca", loss_on="response", max_length=256, too_long="truncate"),
        "steps": Steps(2, 8, 2e-3, "cosine", 0.1, 0.01, 1.0, 42),
        "machine": Machine(512, None, None, "auto", "auto", 1, None, None, 2, False, 1.5),
        "launch": Launch("here", 1, None, None, {}, None, None),
        "model": Model(config=TINY, tokenizer=str(tokenizer)),
    }
    for name, part in parts.items():
        own = {word: more.pop(word) for word in asdict(part) if word in more}
        parts[name] = more.pop(name, replace(part, **own))
    settings: dict[str, Any] = {"held_out": "held_out.jsonl", "method": "full", "precision": "fp32", "key": "k1"}
    return Job(recipe="trial", dataset="quality", data="data.jsonl", **{**parts, **settings, **more})


Started = subprocess.Popen[bytes] | Ranks
"""A running job."""


@dataclass(frozen=True)
class Folder:
    """The folder of one job."""

    path: Path

    @classmethod
    def of(cls, path: Path, job: Job, count: int = 40) -> Folder:
        path.mkdir(parents=True)
        write_rows(path / "data.jsonl", rows(count))
        write_rows(path / "held_out.jsonl", rows(12, start=200))
        (path / "job.json").write_text(to_json(job), encoding="utf-8")
        return cls(path)

    def start(self, processes: int) -> Started:
        """Start the job; its output is in log.txt. In the nightly tier torchrun starts it, else see `forking.py`."""
        return self.start_torchrun(processes) if NIGHTLY else Ranks(self.path, processes)

    def start_torchrun(self, processes: int) -> subprocess.Popen[bytes]:
        """Start the job with torchrun."""
        words = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        with (self.path / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *words, "-m", "alpaqual.trainers.fsdp_job", "job.json"],
                cwd=self.path,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run(self, processes: int, *, fails: bool = False, torchrun: bool = NIGHTLY) -> Folder:
        """Run the job to its end: with torchrun, or with forked processes, which is faster (see `forking.py`)."""
        if torchrun:
            process = self.start_torchrun(processes)
            try:
                code = process.wait(600)
            finally:
                self.kill(process)
        else:
            code = run_ranks(self.path, processes, 600)
        assert (code != 0) == fails, self.log[-3000:]
        return self

    def kill(self, process: Started) -> None:
        """Kill every process of a job that is left, and wait until all have ended."""
        if isinstance(process, Ranks):
            process.kill()
            return
        groups = _groups(process.pid)
        for group in groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                continue
        process.wait(30)
        ends = time.monotonic() + 30
        while groups & set(_running_groups().values()):
            assert time.monotonic() < ends, "a killed process did not end"
            time.sleep(0.02)

    def wait_for(self, step: int, process: Started, skip: int = 0) -> None:
        """Wait until the log shows a step, after its first `skip` characters."""
        ends = time.monotonic() + 120
        while time.monotonic() < ends and process.poll() is None:
            steps = re.findall(r"^step (\d+)/", self.log[skip:], re.MULTILINE)
            if any(int(each) >= step for each in steps):
                return
            time.sleep(0.05)
        raise AssertionError(f"step {step} was not seen: {self.log[-3000:]}")

    @property
    def log(self) -> str:
        return (self.path / "log.txt").read_text(encoding="utf-8")

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The complete lines of metrics.jsonl."""
        path = self.path / "metrics.jsonl"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        return [json.loads(line) for line in text.splitlines() if line.endswith("}")]

    @property
    def steps(self) -> list[dict[str, Any]]:
        return [line for line in self.metrics if line["step"]]

    @property
    def losses(self) -> list[float]:
        return [line["loss"] for line in self.steps]

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.path / "model" / "alpaqual-manifest.json").read_text(encoding="utf-8"))
        return found

    @property
    def weights(self) -> Mapping[str, Any]:
        """Every tensor of the saved model."""
        from safetensors.torch import load_file

        found: dict[str, Any] = {}
        for file in sorted((self.path / "model").glob("*.safetensors")):
            found |= load_file(file)
        return found


def _processes() -> Iterator[tuple[int, str, int, int]]:
    """Yield (process, state, parent, group) of every process."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        yield int(stat.parent.name), fields[0], int(fields[1]), int(fields[2])


def _running_groups() -> dict[int, int]:
    """The group of every process that has not ended; a zombie has."""
    return {pid: group for pid, state, _, group in _processes() if state != "Z"}


def _groups(pid: int) -> set[int]:
    """Process groups of a process and its descendants: torchrun gives each worker its own."""
    processes = list(_processes())
    parents = {child: parent for child, _, parent, _ in processes}
    groups = {process: group for process, _, _, group in processes}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return {groups[each] for each in found if each in groups}
