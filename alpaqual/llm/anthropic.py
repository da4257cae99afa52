"""Models of Anthropic."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from alpaqual.contracts import BatchState
from alpaqual.errors import Fault, FaultKind
from alpaqual.llm._adapting import LIMITS, Adapting, Form
from alpaqual.llm._addresses import address_of, anthropic_advice
from alpaqual.llm._contents import reason_of
from alpaqual.llm._faults import (
    Calls,
    fault_in_reply,
    fault_of_status,
    key_of,
    keys_digest,
    raise_unfinished,
    status_in,
)
from alpaqual.llm._parameters import with_parameters
from alpaqual.llm._usage import anthropic_tokens, billed
from alpaqual.values import Endpoint, Reply, Request

KEY = "ANTHROPIC_API_KEY"
_ADDRESS = "https://api.anthropic.com"
_REPLY_TOKENS = 1024
"""The API requires a limit; this one is sent where the request has none."""
_BATCH_BYTES = 256_000_000
_UPLOAD_SECONDS = 600.0
_PAGES = 50
_SKEW = 120.0
"""Seconds that this machine's clock may be ahead of the provider's."""
_SAMPLING_VERSION = "2023-06-01"
"""The last version of the API that accepts a temperature; later ones refuse it."""
_SAMPLING = ("temperature", "top_p", "top_k")
_LABEL = re.compile(r".*\.(?P<sent>\d+)\.(?P<count>\d+)\.(?P<digest>[0-9a-f]+)")


class Plugin:
    """Messages through the anthropic package. The key is read from ANTHROPIC_API_KEY; with `base_url` it may be unset."""

    BATCH_REQUESTS = 100_000
    PROBABILITIES = False
    STRUCTURED = True
    LOCAL = False
    FREE = False
    RECORDED = False

    def __init__(self, endpoint: Endpoint) -> None:
        """Raises MachineError where the key is missing."""
        import anthropic

        key = key_of(endpoint, KEY)
        # Only the key is read from the environment: ANTHROPIC_BASE_URL would silently send it to another server.
        address = address_of(endpoint.base_url or _ADDRESS)
        self.endpoint = endpoint
        self.client = anthropic.AsyncAnthropic(
            api_key=key,
            base_url=address.url,
            timeout=endpoint.timeout,
            # The inference client retries, since a rate limit concerns all requests.
            max_retries=0,
            # The package sends the key as a bearer token; gateways of Anthropic's API read either header.
            default_headers={**({"X-Api-Key": key} if endpoint.base_url else {}), **dict(endpoint.headers)} or None,
            default_query=dict(address.query) or None,
        )
        self.calls = Calls(anthropic, address.url, key, endpoint.timeout, KEY, anthropic_advice(address))
        self.known: set[str] = set()
        self.adapting = Adapting(Form(LIMITS[0]), fixed=True, responses=False)

    @property
    def unsent(self) -> tuple[str, ...]:
        """Settings that the server refuses and that are not sent."""
        return self.adapting.unsent

    async def complete(self, request: Request) -> Reply:
        """The texts of a message."""
        return await self.adapting.send(lambda form: self.attempt(request, form))

    async def attempt(self, request: Request, form: Form) -> Reply:
        """The reply to one request in one form. Raises Fault."""
        body = self.body(request, form)
        options: Any = {"headers": version_headers(body)}
        # Plain JSON instead of the package's models: a third less CPU per reply.
        call = self.client.post("/v1/messages", body=body, options=options, cast_to=object)
        return self.reply(await self.calls.value(call, self.endpoint.timeout))

    def body(self, request: Request, form: Form | None = None) -> dict[str, Any]:
        """The body of a message."""
        form = form or self.adapting.form
        parameters = request.parameters
        body: dict[str, Any] = {
            "model": self.endpoint.model,
            "max_tokens": parameters.get("max_tokens") or _REPLY_TOKENS,
            "messages": [{"role": role, "content": text} for role, text in request.messages if role != "system"],
        }
        system = "\n\n".join(text for role, text in request.messages if role == "system")
        if system:
            body["system"] = system
        if form.temperature and parameters.get("temperature") is not None:
            body["temperature"] = parameters["temperature"]
        if "schema" in parameters:
            body["output_config"] = {"format": {"type": "json_schema", "schema": parameters["schema"]}}
        if parameters.get("cache"):
            mark_for_cache(body)
        return with_parameters(body, request)

    @billed(anthropic_tokens)
    def reply(self, answer: Mapping[str, Any]) -> Reply:
        """The reply in a message. Raises Fault where the JSON is not a message."""
        if (fault := fault_in_reply(answer)) is not None:
            raise self.calls.without_key(fault)
        raise_unfinished(str(answer.get("stop_reason") or ""), "")
        blocks = answer.get("content")
        if not isinstance(blocks, list):
            raise Fault(FaultKind.TRANSIENT, "broken reply", "no content in the message")
        texts = [block.get("text") for block in blocks if isinstance(block, Mapping) and block.get("type") == "text"]
        text = "".join(text for text in texts if isinstance(text, str))
        model = f"{self.endpoint.provider}/{answer.get('model') or self.endpoint.model}"
        tokens = anthropic_tokens(answer.get("usage"))
        return Reply(text, model, finish_reason=reason_of(answer, "stop_reason"), **tokens)

    async def submit(self, label: str, requests: Sequence[tuple[str, Request]]) -> str:
        """Submit the requests as a batch; returns its id. The API does not store the label: see `find`.

        Raises Fault, REFUSED where they exceed the size of a batch.
        """
        bodies = {key: self.body(request) for key, request in requests}
        lines = [json.dumps({"custom_id": key, "params": body}, ensure_ascii=False) for key, body in bodies.items()]
        body = f'{{"requests": [{",".join(lines)}]}}'.encode("utf-8", "replace")
        if len(body) > _BATCH_BYTES or len(lines) > self.BATCH_REQUESTS:
            raise Fault(FaultKind.REFUSED, "the batch is too large", f"{len(lines)} requests, {len(body)} bytes")
        headers = {"content-type": "application/json"}
        for each in bodies.values():
            headers |= version_headers(each)
        options: Any = {"timeout": _UPLOAD_SECONDS, "headers": headers}
        call = self.client.post("/v1/messages/batches", content=body, options=options, cast_to=object)
        return self.id_of(await self.calls.value(call))

    def id_of(self, answer: Mapping[str, Any]) -> str:
        """The id in a response; added to the known ids. Raises Fault where it has none."""
        name = answer.get("id")
        if not isinstance(name, str) or not name:
            raise Fault(FaultKind.TRANSIENT, "broken reply", "a batch without an id")
        self.known.add(name)
        return name

    async def find(self, label: str) -> str | None:
        """The id of the batch that was most likely submitted under this label, which the API does not store.

        A label ends with its creation time (Unix seconds), the number of requests and the first hexadecimal digits of a
        sha256 over their sorted keys. Candidates were created since, have as many requests, and were neither submitted nor
        polled by this plug-in. An ended candidate must have these keys; otherwise it is the oldest running one, so that the
        caller has to compare the keys of its results. Raises Fault.
        """
        marks = _LABEL.fullmatch(label)
        if marks is None:
            return None
        running = None
        async for batch in self.since(float(marks["sent"]) - _SKEW):
            name, counts = str(batch.get("id")), batch.get("request_counts") or {}
            if name in self.known or sum(counts.values()) != int(marks["count"]):
                continue
            if batch.get("processing_status") != "ended":
                running = name
            elif (await self.digest_of(name)).startswith(marks["digest"]):
                return name
        return running

    async def since(self, time: float) -> AsyncIterator[Mapping[str, Any]]:
        """The batches created since a Unix time, the newest first. Raises Fault."""
        params: dict[str, Any] = {"limit": 100}
        for _ in range(_PAGES):
            path = "/v1/messages/batches"
            page = await self.calls.value(self.client.get(path, options={"params": params}, cast_to=object))
            for batch in page.get("data") or []:
                if created_at(batch) < time:
                    return
                yield batch
            if not page.get("has_more") or not page.get("last_id"):
                return
            params["after_id"] = page["last_id"]

    async def digest_of(self, batch: str) -> str:
        """The sha256 over the sorted keys of an ended batch. Raises Fault."""
        return keys_digest([str(line.get("custom_id")) async for line in self.lines(batch)])

    async def poll(self, batch: str) -> BatchState:
        """The state of a batch. Raises Fault, REQUEST where it does not exist."""
        self.known.add(batch)
        path = f"/v1/messages/batches/{quote(batch, safe='')}"
        found = await self.calls.batch_value(self.client.get(path, cast_to=object))
        counts = found.get("request_counts") or {}
        total = sum(counts.values())
        return BatchState(found.get("processing_status") == "ended", total - (counts.get("processing") or 0), total)

    async def results(self, batch: str) -> AsyncIterator[tuple[str, Reply | Fault]]:
        """(ledger key, reply or fault) of an ended batch. Raises Fault."""
        async for found in self.adapting.results(self.outcomes(batch)):
            yield found

    async def outcomes(self, batch: str) -> AsyncIterator[tuple[str, Reply | Fault]]:
        """The results as the provider wrote them. Raises Fault."""
        async for line in self.lines(batch):
            if isinstance(line.get("custom_id"), str):
                yield line["custom_id"], self.result(line.get("result") or {})

    async def lines(self, batch: str) -> AsyncIterator[Mapping[str, Any]]:
        """The results of a batch as they arrive. Raises Fault."""
        async for line in self.calls.lines(self.client.messages.batches.with_streaming_response.results(batch)):
            if line:
                yield line

    def result(self, result: Mapping[str, Any]) -> Reply | Fault:
        """The outcome of one request."""
        kind = result.get("type")
        if kind == "succeeded":
            try:
                return self.reply(result.get("message") or {})
            except Fault as fault:
                return fault
        if kind == "errored":
            body = result.get("error") or {}
            return self.calls.without_key(fault_of_status(status_in(body) or 500, body, {}))
        reason = {"expired": "expired in the batch", "canceled": "cancelled with the batch"}.get(str(kind))
        return Fault(FaultKind.TRANSIENT, reason or "not answered in the batch")

    async def alive(self) -> bool:
        """Whether the server responds: the list of models is free, and an error is a response too."""
        return await self.calls.alive(self.client.get("/v1/models", cast_to=object))

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()


def mark_for_cache(body: dict[str, Any]) -> None:
    """Mark the end of what every request has in common: all messages but the last, or the system part alone."""
    mark = {"cache_control": {"type": "ephemeral"}}
    *before, _ = body["messages"]
    if before:
        before[-1]["content"] = [{"type": "text", "text": before[-1]["content"], **mark}]
    elif "system" in body:
        body["system"] = [{"type": "text", "text": body["system"], **mark}]


def version_headers(body: Mapping[str, Any]) -> dict[str, str]:
    """The version header of a body that sets how tokens are sampled; others use the package's version of the API."""
    return {"anthropic-version": _SAMPLING_VERSION} if any(name in body for name in _SAMPLING) else {}


def created_at(batch: Mapping[str, Any]) -> float:
    """The Unix time at which a batch was created; now where it is missing."""
    try:
        return datetime.datetime.fromisoformat(str(batch.get("created_at"))).timestamp()
    except ValueError:
        return datetime.datetime.now(datetime.UTC).timestamp()
