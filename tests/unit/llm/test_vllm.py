"""vLLM: a server of its own is started for the first request, gets token ids, and ends with the run or its process."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra 'train' is not installed")
pytest.importorskip("transformers", reason="the extra 'train' is not installed")

import tiny_models as t

from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.llm.vllm import Plugin
from alpaqual.plan.answer_requests import answer_request
from alpaqual.values import Endpoint, Question, Reply, Request

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).resolve().parents[2] / "servers" / "vllm_program.py"
SETTINGS = {"temperature": 0, "max_tokens": 40}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = t.byte_tokenizer()
    return t.saved(tmp_path_factory.mktemp("models") / "m", t.tiny("llama", len(tokenizer)), tokenizer)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program is the first `vllm` on PATH; the file has what it was asked."""
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(PROGRAM.read_text().replace("/usr/bin/env python3", sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("VLLM_LOG", str(tmp_path / "log.jsonl"))
    return tmp_path / "log.jsonl"


def opened(model: Path) -> Plugin:
    return Plugin(Endpoint("vllm", model.name, folder=str(model.parent)))


def noted(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def ask(plugin: Plugin, *requests: Request) -> list[Any]:
    async def work() -> list[Any]:
        try:
            return await asyncio.gather(*map(plugin.complete, requests), return_exceptions=True)
        finally:
            await plugin.close()

    return asyncio.run(work())


def has_ended(pid: int) -> bool:
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.05)
    return False


def test_prompts_are_sent_as_the_tokens_of_training(model: Path, log: Path) -> None:
    question = Question("1", "Give three tips.", "4.5")
    plain = answer_request("vllm/m", question, "alpaca", SETTINGS)
    chat = answer_request("vllm/m", question, "chat", {"temperature": 0.7, "max_tokens": 3}, trained=True)
    long = answer_request("vllm/m", Question("2", "x" * 3000), "alpaca", SETTINGS)
    first, second, third = ask(opened(model), plain, chat, long)
    start, *bodies = noted(log)
    assert start["words"][:2] == ["serve", str(model)] and start["words"][-2:] == ["--served-model-name", "model"]
    by_limit = {body["max_tokens"]: body for body in bodies}
    tokenizer = t.byte_tokenizer()
    ids = list(tokenizer(plain.messages[0][1]).input_ids)
    assert by_limit[40] == {
        "model": "model",
        "prompt": ids,
        "max_tokens": 40,
        "temperature": 0,
        "stop_token_ids": [tokenizer.eos_token_id],
    }
    assert by_limit[3]["prompt"] == t.prompt_ids(tokenizer, chat.messages)
    assert by_limit[3]["temperature"] == 0.7 and 0 <= by_limit[3]["seed"] < 2**31
    assert first == Reply(f" {len(ids)} tokens", "vllm/m", len(ids), 3, finish_reason="stop")
    assert second.finish_reason == "length"
    assert isinstance(third, Fault) and third.kind is FaultKind.REQUEST
    assert len(bodies) == 2 and has_ended(start["pid"])


def test_nothing_is_started_for_a_model_that_is_not_asked(model: Path, log: Path) -> None:
    asyncio.run(opened(model).close())
    assert not log.exists()


def test_a_server_that_does_not_start_shows_what_it_printed(
    model: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_FAILS", "1")
    (error,) = ask(opened(model), answer_request("vllm/m", Question("1", "Why?"), "chat", SETTINGS))
    assert isinstance(error, MachineError)
    assert str(error) == "vllm serve did not start: ValueError: No available memory for the cache blocks"


def test_the_server_ends_when_its_run_is_killed(model: Path, log: Path) -> None:
    code = (
        "import asyncio\nfrom alpaqual.llm.vllm import Plugin\nfrom alpaqual.values import Endpoint\n"
        f"plugin = Plugin(Endpoint('vllm', 'm', folder={str(model.parent)!r}))\n"
        "async def work():\n    await plugin.server.start()\n    print('started', flush=True)\n    await asyncio.sleep(60)\n"
        "asyncio.run(work())"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"started\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert has_ended(noted(log)[0]["pid"])


def test_what_is_missing_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("vllm") is not None:
        pytest.skip("vllm is installed")
    with pytest.raises(MachineError, match="pip install vllm"):
        opened(model)
