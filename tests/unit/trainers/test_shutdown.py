"""Jobs that stop early: old checkpoints are deleted, a locked folder is refused, running out of memory is explained."""

from __future__ import annotations

import fcntl
import json
import resource
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")
from training import TINY, Folder, tiny_job, write_tokenizer

from alpaqual.job import JobError, Model, from_json, to_json
from alpaqual.trainers.fsdp_job.shutdown import lock_folder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def run_alone(folder: Folder, **more) -> subprocess.CompletedProcess[str]:
    """Run the job as one process, without torchrun."""
    words = [sys.executable, "-m", "alpaqual.trainers.fsdp_job", "job.json"]
    return subprocess.run(
        words, cwd=folder.path, capture_output=True, encoding="utf-8", timeout=120, check=False, **more
    )


def test_a_job_survives_json(tokenizer):
    job = tiny_job(tokenizer, method="lora", targets=("q_proj", "v_proj"))
    assert from_json(to_json(job)) == job


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"version": 2}', '{"version": 1, "model": 3}'])
def test_a_text_that_is_not_a_job_is_refused(text):
    with pytest.raises(ValueError, match=r"job\.json (is not a job|has version)"):
        from_json(text)


def test_old_checkpoints_are_deleted(tokenizer, tmp_path):
    folder = Folder.of(tmp_path / "job", tiny_job(tokenizer, checkpoint_steps=1, checkpoints_kept=2, epochs=3))
    process = folder.start(1)
    try:
        folder.wait_for(9, process)
    finally:
        folder.kill(process)
    there = sorted(path.name for path in (folder.path / "checkpoint").glob("step-*") if path.suffix != ".tmp")
    assert 2 <= len(there) <= 3 and int(there[-1][5:]) >= 7
    pointed = json.loads((folder.path / "checkpoint" / "latest").read_text())["checkpoint"]
    assert pointed in there


@dataclass(frozen=True)
class OneRank:
    """The only rank of a job."""

    is_first: bool = True

    def broadcast_from_rank0(self, value: Any) -> Any:
        return value


def test_a_second_job_in_a_folder_is_refused(tmp_path, capsys):
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = pytest.raises(JobError, match=r"another process is training in .*: wait until it has ended")
        with refused, lock_folder(tmp_path, OneRank(), seconds=0.3):
            pytest.fail("two jobs hold the lock")
    assert capsys.readouterr().out.count("waiting up to 0.3 s") == 1


def test_a_job_waits_for_one_that_is_about_to_end(tmp_path, capsys):
    lock = (tmp_path / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    ending = threading.Timer(0.3, lock.close)
    ending.start()
    with lock_folder(tmp_path, OneRank(), seconds=20):
        ending.join()
    assert "waiting up to 20 s" in capsys.readouterr().out


def test_out_of_memory_names_the_setting(tokenizer, tmp_path):
    big = {
        **TINY,
        "hidden_size": 4096,
        "intermediate_size": 16384,
        "num_attention_heads": 32,
        "num_key_value_heads": 32,
        "num_hidden_layers": 16,
    }
    folder = Folder.of(tmp_path / "job", tiny_job(tokenizer, model=Model(config=big, tokenizer=str(tokenizer))))
    limit = 6 * 2**30
    done = run_alone(folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
    failure = json.loads((folder.path / "failure.json").read_text())
    assert done.returncode == failure["exit_code"] == 3
    assert (
        "out of memory on CPU" in failure["message"]
        and "lower training.micro_batch_tokens (it is 512)" in failure["message"]
    )
    assert "GiB a device" in done.stdout


def test_a_checkpoint_that_cannot_be_written_is_reported_and_training_continues(tokenizer, tmp_path):
    folder = Folder.of(tmp_path / "job", tiny_job(tokenizer, checkpoint_steps=4, epochs=1))
    # A file where the folder of checkpoints would be.
    (folder.path / "checkpoint").write_text("")
    folder.run(1)
    assert "the checkpoint after step 4 could not be written" in folder.log
    assert (folder.path / "model" / "model.safetensors").is_file()
