"""Several processes answer one list: each request once, the same answers, and what one leaves is answered by the others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("transformers", reason="needs the extra 'train'")

from alpaqual.errors import Fault, MachineError
from alpaqual.execution.answering_processes import ask_in_processes
from alpaqual.inference.budget import Budget
from alpaqual.inference.client import InferenceClient
from alpaqual.inference.price import FREE
from alpaqual.inference.rate_limiter import RateLimiter, RateLimits
from alpaqual.llm.local import Plugin
from alpaqual.store.ledger import Ledger
from alpaqual.values import Endpoint, Request

pytestmark = pytest.mark.slow
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit" / "llm"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny_models as t

    tokenizer = t.byte_tokenizer()
    return t.saved(tmp_path_factory.mktemp("models") / "m", t.tiny("llama", len(tokenizer)), tokenizer)


def opened(folder: Path, model: Path) -> tuple[InferenceClient, Ledger, Path]:
    """A client of the model, its ledger in the folder, and the file of its claims."""
    claims = folder / "claims.lock"
    plugin = Plugin(Endpoint("local", model.name, folder=str(model.parent), batch=4))
    ledger = Ledger(folder / "replies", claims)
    return InferenceClient(plugin, ledger, RateLimiter(RateLimits(8)), Budget(FREE, [])), ledger, claims


def asked(count: int, most: int = 40) -> list[Request]:
    settings = {"temperature": 0, "max_tokens": most, "prompt": "plain"}
    return [Request("local/m", (("user", f"What is {at}?"),), settings) for at in range(count)]


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in folder.glob("replies/*.jsonl") for line in file.read_text().splitlines()]


def test_processes_share_a_list(tmp_path: Path, model: Path) -> None:
    client, ledger, claims = opened(tmp_path, model)
    requests = [*asked(14), Request("local/m", (("user", "x" * 3000),), {"max_tokens": 3, "prompt": "plain"})]
    counts: list[int] = []

    async def work() -> list[Any]:
        assert await ask_in_processes(client, ledger, requests, claims, 2, counts.append) == 14
        assert client.usage.calls_made == 14 and client.usage.output_tokens > 14
        assert "loaded" not in client.model.runner.__dict__, "this process needs no model"  # type: ignore[attr-defined]
        assert await ask_in_processes(client, ledger, requests, claims, 2) == 0, (
            "one is missing, and it is this process's"
        )
        found = await asyncio.gather(*map(client.send, requests), return_exceptions=True)
        await client.model.close()
        return found

    found = asyncio.run(work())
    assert counts[-1] == 14
    assert isinstance(found[-1], Fault) and found[-1].reason == "longer than the model's context"
    assert client.usage.calls_made == 14 and client.usage.calls_reused == 0
    files = list(tmp_path.glob("replies/*.jsonl"))
    assert len(files) == 2 and all(file.read_text() for file in files), "both processes answered"
    assert len({line["key"] for line in lines(tmp_path)}) == len(lines(tmp_path)) == 14

    alone, *_ = opened(tmp_path / "alone", model)
    assert [reply.text for reply in asyncio.run(one_process(alone, requests[:14]))] == [
        each.text for each in found[:14]
    ]


async def one_process(client: InferenceClient, requests: list[Request]) -> list[Any]:
    found = await asyncio.gather(*map(client.send, requests))
    await client.model.close()
    return found


def test_what_a_killed_process_leaves_is_answered(tmp_path: Path, model: Path) -> None:
    client, ledger, claims = opened(tmp_path, model)
    requests = asked(12, 300)

    def kill(count: int) -> None:
        # The children of this process that still run; the first answer kills one of them.
        if count == 1:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            commands = {child: Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
            mine = [child for child, command in commands.items() if b"answering_processes" in command]
            os.kill(int(mine[0]), signal.SIGKILL)

    async def work() -> list[Any]:
        await ask_in_processes(client, ledger, requests, claims, 2, kill)
        return await one_process(client, requests)

    assert len(asyncio.run(work())) == 12
    assert {line["key"] for line in lines(tmp_path)} == {client.ledger.key(request) for request in requests}


def test_a_model_that_cannot_be_loaded_is_an_error_here(tmp_path: Path, model: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    (broken / "model.safetensors").write_bytes(b"")
    client, ledger, claims = opened(tmp_path, broken)
    with pytest.raises(MachineError, match="broken could not be loaded"):
        asyncio.run(ask_in_processes(client, ledger, asked(4), claims, 2))
