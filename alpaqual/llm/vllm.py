"""Local models run by vLLM: `vllm serve` is started on this machine for the first request, and ended at the end.

Prompts are sent as token ids, the same as a model in this process gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property
from types import SimpleNamespace
from typing import Any, cast

from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.llm._local_files import place_of
from alpaqual.llm._local_forward import Forward
from alpaqual.llm._local_generating import Generation
from alpaqual.llm._local_jobs import Job
from alpaqual.llm._local_loading import context_of, read_config, read_tokenizer, require
from alpaqual.llm._local_prompts import Prompts
from alpaqual.llm._local_sampling import seed_of
from alpaqual.llm._vllm_server import NAME, VllmServer, require_vllm
from alpaqual.values import Endpoint, Reply, Request

__all__ = ["Plugin", "require_vllm"]

_ANSWER_SECONDS = 1_800.0
"""Longest wait for one answer: the server queues what it cannot compute at once."""
_SEEDS = 2**31


class Plugin:
    """Sends completions to a server of its own."""

    BATCH_REQUESTS = 0
    PROBABILITIES = False
    STRUCTURED = False
    LOCAL = True
    PLAIN = True
    FREE = True
    RECORDED = False

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises MachineError where vLLM, a package or the model's path is missing."""
        require_vllm()
        self.served = endpoint
        self.place = place_of(endpoint)
        require(self.place)
        if self.place.gguf is not None:
            raise MachineError(f"vllm/{endpoint.model}: name a folder of safetensors; a GGUF file runs as local/…")
        self.server = VllmServer(self.place)
        self.starting = asyncio.Lock()
        self.client: Any = None
        self.calls: Any = None

    @cached_property
    def generation(self) -> Generation:
        """Requests as tokens. Raises MachineError."""
        config, tokenizer = read_config(self.place), read_tokenizer(self.place)
        prompts = Prompts(tokenizer)
        ends = prompts.ends(SimpleNamespace(config=config, generation_config=None))
        return Generation(cast(Forward, None), prompts, ends, context_of(config, tokenizer))

    async def complete(self, request: Request) -> Reply:
        """The reply. Raises Fault where there is none, MachineError where the server does not start."""
        if not {"choices", "measure"}.isdisjoint(request.parameters):
            raise Fault(FaultKind.REFUSED, "vllm answers in words only", "local/… computes probabilities")
        async with self.starting:
            if self.client is None:
                await self._start()
            job = await asyncio.to_thread(self.generation.job, request)
        answer = await self.calls.value(
            self.client.post("/completions", body=self._body(job), cast_to=object), _ANSWER_SECONDS
        )
        return self._reply(answer)

    async def alive(self) -> bool:
        """Whether the server runs."""
        return self.client is None or await self.server.is_healthy()

    async def close(self) -> None:
        """End the server."""
        if self.client is not None:
            await self.client.close()
        await self.server.stop()

    async def _start(self) -> None:
        import openai

        from alpaqual.llm._faults import Calls

        address = await self.server.start()
        self.calls = Calls(openai, address, "none", _ANSWER_SECONDS)
        self.client = openai.AsyncOpenAI(base_url=address, api_key="none", timeout=_ANSWER_SECONDS, max_retries=0)

    def _body(self, job: Job) -> dict[str, Any]:
        temperature = float(job.request.parameters.get("temperature") or 0)
        body = {
            "model": NAME,
            "prompt": list(job.prompt),
            "max_tokens": job.most,
            "temperature": temperature,
            "stop_token_ids": sorted(self.generation.ends),
        }
        return body | ({"seed": seed_of(job.request) % _SEEDS} if temperature else {})

    def _reply(self, answer: Mapping[str, Any]) -> Reply:
        choices, usage = answer.get("choices"), answer.get("usage") or {}
        choice = choices[0] if isinstance(choices, list) and choices else {}
        if not isinstance(choice, Mapping) or not isinstance(choice.get("text"), str):
            raise Fault(FaultKind.TRANSIENT, "broken reply", "no text in the completion")
        return Reply(
            choice["text"],
            f"vllm/{self.served.model}",
            usage.get("prompt_tokens"),
            usage.get("completion_tokens"),
            finish_reason=choice.get("finish_reason"),
        )
