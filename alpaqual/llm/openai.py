"""Models of OpenAI and Azure, and of every server with chat completions (vLLM, llama.cpp, Ollama, …) or the Responses API."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from alpaqual.contracts import BatchState
from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._adapting import LIMITS, Adapting, Form
from alpaqual.llm._addresses import RESPONSES, address_of, openai_advice, openai_client
from alpaqual.llm._contents import reason_of, text_of
from alpaqual.llm._faults import (
    Calls,
    fault_in_reply,
    fault_of_status,
    key_of,
    message_of,
    raise_unfinished,
)
from alpaqual.llm._parameters import with_parameters
from alpaqual.llm._responses import as_completion, responses_body
from alpaqual.llm._usage import billed, openai_tokens
from alpaqual.values import EXPECTATION_TOKENS, Endpoint, Reply, Request

KEY = "OPENAI_API_KEY"
AZURE_KEY = "AZURE_OPENAI_API_KEY"
"""Read first for Azure's addresses."""
_ADDRESS = "https://api.openai.com/v1"
_BATCH_BYTES = 200_000_000
_UPLOAD_SECONDS = 600.0
_ENDED = ("completed", "expired", "cancelled", "failed")
_QUEUE_FULL = "token_limit_exceeded"
"""Too many tokens are queued in other batches; the batch may be submitted again when they are done."""
_PAGES = 50
_COMPLETIONS = "/chat/completions"
_NO_LOGPROBS = "the server gives no log-probabilities"


class Plugin:
    """Chat completions and responses through the openai package. The key is read from OPENAI_API_KEY; with `base_url` it may be unset."""

    BATCH_REQUESTS = 50_000
    PROBABILITIES = False
    EXPECTATIONS = True
    STRUCTURED = True
    LOCAL = False
    FREE = False
    RECORDED = False

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises MachineError where the key is missing."""
        import openai

        # Only the key is read from the environment: OPENAI_BASE_URL would silently send it to another server.
        address = address_of(endpoint.base_url or _ADDRESS)
        variable = AZURE_KEY if address.azure and (os.environ.get(AZURE_KEY) or not os.environ.get(KEY)) else KEY
        key = key_of(endpoint, variable, needed=address.of_azure)
        self.endpoint = endpoint
        self.client = openai_client(openai, address, key, endpoint)
        self.calls = Calls(openai, address.url, key, endpoint.timeout, variable, openai_advice(address))
        # OpenAI's newer models refuse the old name of the limit; other servers may lack the new one.
        limit = endpoint.token_limit or LIMITS[endpoint.base_url is None]
        # At OpenAI itself, only the Responses API has this name.
        responses = address.operation == RESPONSES or (endpoint.base_url is None and limit == LIMITS[2])
        self.adapting = Adapting(Form(limit, responses=responses), fixed=endpoint.token_limit is not None)

    @property
    def unsent(self) -> tuple[str, ...]:
        """Settings that the server refuses and that are not sent."""
        return self.adapting.unsent

    async def complete(self, request: Request) -> Reply:
        """The first choice of a chat completion, or the text of a response."""
        return await self.adapting.send(lambda form: self.attempt(request, form))

    async def attempt(self, request: Request, form: Form) -> Reply:
        """The reply to one request in one form. Raises Fault."""
        path = RESPONSES if form.responses else _COMPLETIONS
        # Plain JSON instead of the package's models: a third less CPU per reply.
        call = self.client.post(path, body=self.body(request, form), cast_to=object)
        return self.reply(await self.calls.value(call, self.endpoint.timeout), request.parameters.get("choices", ()))

    def body(self, request: Request, form: Form | None = None) -> dict[str, Any]:
        """The body of a chat completion or a response."""
        form = form or self.adapting.form
        parameters = dict(request.parameters)
        if "choices" in parameters:
            parameters = {"temperature": 0.0, "max_tokens": EXPECTATION_TOKENS, **parameters}
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "messages": [{"role": role, "content": text} for role, text in request.messages],
        }
        if form.temperature and parameters.get("temperature") is not None:
            body["temperature"] = parameters["temperature"]
        if parameters.get("max_tokens") is not None:
            body[form.limit] = parameters["max_tokens"]
        if "schema" in parameters:
            schema = {"name": "score", "strict": True, "schema": parameters["schema"]}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if "choices" in parameters:
            body |= {"logprobs": True, "top_logprobs": form.top_logprobs}
        body = with_parameters(body, request)
        return responses_body(body) if form.responses else body

    @billed(openai_tokens)
    def reply(self, answer: Mapping[str, Any], scores: Sequence[str] = ()) -> Reply:
        """The reply in a completion or a response; with `scores`, the expectation over them.

        Raises Fault where the JSON is neither, or has no log-probabilities.
        """
        if (fault := fault_in_reply(answer)) is not None:
            raise self.calls.without_key(fault)
        answer = as_completion(answer)
        choices = answer.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, Mapping) else None
        if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
            raise Fault(FaultKind.TRANSIENT, "broken reply", "no choice in the completion")
        raise_unfinished(str(choice.get("finish_reason") or ""), str(message.get("content") or ""))
        text = text_of(message.get("content")) or message.get("refusal") or ""
        if not isinstance(text, str):
            raise Fault(FaultKind.TRANSIENT, "broken reply", "the content is not text")
        finish = reason_of(choice, "finish_reason")
        if scores:
            from alpaqual.llm._expectations import expectation_of, tokens_of

            shown = tokens_of(choice.get("logprobs"))
            if not shown:
                raise Fault(FaultKind.REFUSED, _NO_LOGPROBS, "scoring: expectation needs them; use scoring: generation")
            text = expectation_of(scores, shown, text, cut=finish == "length")
        return Reply(
            text,
            f"{self.endpoint.provider}/{answer.get('model') or self.endpoint.model}",
            finish_reason=finish,
            **openai_tokens(answer.get("usage")),
        )

    async def submit(self, label: str, requests: Sequence[tuple[str, Request]]) -> str:
        """Upload the requests as a file and start a batch with the label in its metadata; returns its id.

        Raises Fault, REFUSED where they exceed the size of a batch.
        """
        url = f"/v1{RESPONSES if self.adapting.form.responses else _COMPLETIONS}"
        lines = [
            json.dumps({"custom_id": key, "method": "POST", "url": url, "body": self.body(request)}, ensure_ascii=False)
            for key, request in requests
        ]
        file = "\n".join(lines).encode("utf-8", "replace")
        if len(file) > _BATCH_BYTES or len(lines) > self.BATCH_REQUESTS:
            raise Fault(FaultKind.REFUSED, "the batch is too large", f"{len(lines)} requests, {len(file)} bytes")
        try:
            name = (f"{label}.jsonl", file, "application/jsonl")
            uploaded = await self.client.files.create(file=name, purpose="batch", timeout=_UPLOAD_SECONDS)
        except Exception as error:
            raise self.calls.fault(error) from None
        body = {
            "input_file_id": uploaded.id,
            "endpoint": url,
            "completion_window": "24h",
            "metadata": {"label": label},
        }
        answer = await self.calls.value(self.client.post("/batches", body=body, cast_to=object))
        return self.id_of(answer)

    def id_of(self, answer: Mapping[str, Any]) -> str:
        """The id in a response. Raises Fault where it has none."""
        name = answer.get("id")
        if not isinstance(name, str) or not name:
            raise Fault(FaultKind.TRANSIENT, "broken reply", "a batch without an id")
        return name

    async def find(self, label: str) -> str | None:
        """The id of the batch with this label in its metadata, among the newest 5,000. Raises Fault."""
        params: dict[str, Any] = {"limit": 100}
        for _ in range(_PAGES):
            page = await self.calls.value(self.client.get("/batches", options={"params": params}, cast_to=object))
            batches = [batch for batch in page.get("data") or [] if isinstance(batch, Mapping)]
            for batch in batches:
                if (batch.get("metadata") or {}).get("label") == label:
                    return self.id_of(batch)
            if not page.get("has_more") or not batches:
                break
            params["after"] = self.id_of(batches[-1])
        return None

    async def poll(self, batch: str) -> BatchState:
        """The state of a batch. Raises Fault, REQUEST where it does not exist or the queue was full, REFUSED where it failed."""
        found = await self.fetch(batch)
        status, counts = found.get("status"), found.get("request_counts") or {}
        if status == "failed":
            raise self.failure(found)
        done = (counts.get("completed") or 0) + (counts.get("failed") or 0)
        return BatchState(status in _ENDED, done, counts.get("total") or 0)

    async def fetch(self, batch: str) -> Mapping[str, Any]:
        """The provider's record of a batch. Raises Fault, REQUEST where there is none with this id."""
        return await self.calls.batch_value(self.client.get(f"/batches/{quote(batch, safe='')}", cast_to=object))

    def failure(self, found: Mapping[str, Any]) -> Fault:
        """The fault of a batch that failed as a whole."""
        errors = [error for error in (found.get("errors") or {}).get("data") or [] if isinstance(error, Mapping)]
        message = "; ".join(message_of(error) for error in errors[:3])
        if any(error.get("code") == _QUEUE_FULL for error in errors):
            return Fault(FaultKind.REQUEST, "the batch queue is full", message)
        return Fault(FaultKind.REFUSED, "the batch failed", message)

    async def results(self, batch: str) -> AsyncIterator[tuple[str, Reply | Fault]]:
        """(ledger key, reply or fault) from the two files of a batch. Raises Fault."""
        async for found in self.adapting.results(self.outcomes(batch)):
            yield found

    async def outcomes(self, batch: str) -> AsyncIterator[tuple[str, Reply | Fault]]:
        """The results as the provider wrote them. Raises Fault."""
        found = await self.fetch(batch)
        for file in (found.get("output_file_id"), found.get("error_file_id")):
            if file:
                opened = self.client.files.with_streaming_response.content(str(file))
                async for line in self.calls.lines(opened):
                    if isinstance(line.get("custom_id"), str):
                        yield line["custom_id"], self.result(line)

    def result(self, line: Mapping[str, Any]) -> Reply | Fault:
        """The outcome of one request."""
        error, response = line.get("error"), line.get("response")
        if isinstance(response, Mapping) and response.get("status_code") == 200:
            try:
                body = response.get("body")
                return self.reply(body if isinstance(body, Mapping) else {})
            except Fault as fault:
                return fault
        if isinstance(response, Mapping):
            return self.calls.without_key(
                fault_of_status(int(response.get("status_code") or 500), response.get("body"), {})
            )
        code = str(error.get("code")) if isinstance(error, Mapping) else ""
        reason = {"batch_expired": "expired in the batch", "batch_cancelled": "cancelled with the batch"}.get(code)
        return Fault(FaultKind.TRANSIENT, reason or "not answered in the batch", message_of(error))

    async def alive(self) -> bool:
        """Whether the server responds: the list of models is free, and an error is a response too."""
        return await self.calls.alive(self.client.get("/models", cast_to=object))

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()
