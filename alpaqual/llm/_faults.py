"""Calls through the openai or anthropic package, which raise errors of the same shape; each becomes a Fault."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.llm._fault_lines import KEY_REFUSED, NO_STATUS, NOT_FOUND, STATUSES, UNFINISHED, line_of
from alpaqual.llm._pauses import pause_of
from alpaqual.values import Endpoint

_MESSAGE_KEYS = ("code", "type", "message", "detail")
_CODE_KEYS = ("code", "type", "status", "reason", "error_type")
_STATUS_KEYS = ("code", "status", "status_code", "statusCode", "raw_status_code")


def key_of(endpoint: Endpoint, variable: str, *, needed: bool = False) -> str:
    """The API key in an environment variable; "none" where it is unset, the endpoint has a `base_url`, and none is `needed`.

    Raises MachineError where the key is missing, or has characters with which the packages would quote it in an error.
    """
    key = os.environ.get(variable, "").strip()
    if not key and (needed or endpoint.base_url is None):
        raise MachineError(f"{endpoint.provider}/{endpoint.model} needs a key: export {variable}=…")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise MachineError(f"{variable} holds characters that an API key never has: export it again")
    return key or "none"


_DOWN = ("no connection", "timeout", "server error 502", "server error 503", "server error 504")
"""Faults that show that the server is down: no response, or one of a proxy in front of it."""
_UNSENT = ("ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "LocalProtocolError", "ProxyError")
"""Errors of httpx before a request has left."""
_GATEWAY_TIMEOUTS = (504, 524)
"""Statuses of a gateway that got no reply in time: the model behind it may have written one."""
_HEALTH_CHECK_SECONDS = 10.0
_MAX_DETAIL = 300
_MAX_PLAUSIBLE_TOKENS = 10**9


@dataclass(frozen=True)
class Calls:
    """Calls to one endpoint. `package` is openai or anthropic, `key` is cut out of faults, `timeout` is in seconds."""

    package: Any
    address: str
    key: str
    timeout: float
    variable: str = ""
    """The environment variable of the key."""
    advice: str = ""
    """What to change about the address where it does not exist."""

    async def value(self, call: Awaitable[object], limit: float | None = None) -> Mapping[str, Any]:
        """The JSON object that a call returns within `limit` seconds (None: no limit). Raises Fault."""
        try:
            # The package's own timeout restarts with every byte.
            async with asyncio.timeout(limit):
                found = await call
        except Exception as error:
            raise self.fault(error) from None
        if not isinstance(found, Mapping):
            raise lost(Fault(FaultKind.TRANSIENT, "broken reply", "not a JSON object"))
        return found

    async def alive(self, call: Awaitable[object]) -> bool:
        """Whether a call gets any response from the server."""
        try:
            await self.value(call, min(self.timeout, _HEALTH_CHECK_SECONDS))
        except Fault as fault:
            return fault.reason not in _DOWN
        return True

    async def batch_value(self, call: Awaitable[object]) -> Mapping[str, Any]:
        """As `value`, with a Fault of the kind REQUEST where the batch does not exist."""
        try:
            return await self.value(call)
        except Fault as fault:
            raise lost_batch(fault) from None

    async def lines(self, opened: Any) -> AsyncIterator[Mapping[str, Any]]:
        """The JSON objects of a JSON Lines file, as they arrive; `opened` is a streamed response.

        Raises Fault, as `batch_value` does.
        """
        rest = b""
        try:
            async with opened as response:
                async for some in response.iter_bytes():
                    *complete, rest = (rest + some).split(b"\n")
                    for line in complete:
                        yield self.line(line)
        except Fault:
            raise
        except Exception as error:
            found = self.fault(error)
            raise (lost_batch(found) if isinstance(found, Fault) else found) from None
        if rest.strip():
            yield self.line(rest)

    def line(self, line: bytes) -> Mapping[str, Any]:
        """The object of one line; an empty one for an empty line. Raises Fault."""
        try:
            found = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError) as error:
            raise self.fault(error) from None
        if not isinstance(found, Mapping):
            raise Fault(FaultKind.TRANSIENT, "broken reply", "not a JSON object")
        return found

    def fault(self, error: Exception) -> Exception:
        """The Fault of an error of the package; other errors are returned as they are."""
        package = self.package
        if isinstance(error, package.APIStatusError):
            fault = fault_of_status(error.status_code, error.body, error.response.headers)
            if fault.reason == KEY_REFUSED and self.key == "none" and self.variable:
                fault = Fault(fault.kind, fault.reason, f"none was sent, export {self.variable}=…: {fault.detail}")
            elif fault.reason == NOT_FOUND:
                fault = Fault(fault.kind, fault.reason, self.not_found(fault.detail))
            fault = self.without_key(fault)
            fault.lost = error.status_code in _GATEWAY_TIMEOUTS
            return fault
        if isinstance(error, package.APITimeoutError | TimeoutError):
            return lost(Fault(FaultKind.TRANSIENT, "timeout", f"nothing within {self.timeout:g} s"), error)
        if isinstance(error, package.APIConnectionError):
            cause = str(error.__cause__ or error) or type(error.__cause__).__name__
            fault = Fault(FaultKind.TRANSIENT, "no connection", f"{self.address}: {cause}")
            return lost(self.without_key(fault), error)
        if isinstance(error, UnicodeEncodeError):
            return Fault(FaultKind.REQUEST, "a text that UTF-8 cannot encode", "a lone surrogate")
        if isinstance(error, ValueError | RecursionError | package.APIError):
            return lost(self.without_key(Fault(FaultKind.TRANSIENT, "broken reply", message_of(str(error)))))
        if type(error).__module__.partition(".")[0].startswith("httpx"):
            # Errors while a body is streamed are not wrapped by the package.
            return self.without_key(
                Fault(FaultKind.TRANSIENT, "no connection", f"{self.address}: {message_of(str(error))}")
            )
        return error

    def not_found(self, detail: str) -> str:
        """The detail of a fault that model or address do not exist: the address, what to change about it, what the server said."""
        advice = "" if "model" in detail.lower() else self.advice
        return ": ".join(part for part in (self.address, advice, detail) if part)

    def without_key(self, fault: Fault) -> Fault:
        """The fault without the key, which some servers quote."""
        # Shorten afterwards: half a key is a secret too.
        detail = fault.detail.replace(self.key, "…") if self.key != "none" else fault.detail
        return Fault(fault.kind, fault.reason, detail[:_MAX_DETAIL], fault.retry_after)


def lost(fault: Fault, error: Exception | None = None) -> Fault:
    """The fault of a request that may have been answered, and billed; not where its error says that it never left."""
    fault.lost = type(error and error.__cause__).__name__ not in _UNSENT
    return fault


def fault_of_status(status: int, body: object, headers: Mapping[str, str]) -> Fault:
    """The fault of an HTTP status (0 where there is none), by code and message of its body."""
    message, codes = message_of(body), codes_of(body)
    line = line_of(status, codes, message.lower())
    waits = line.kind in (FaultKind.THROTTLED, FaultKind.TRANSIENT)
    pause = pause_of(headers, error_of(body), message) if waits else None
    return Fault(line.kind, line.reason.format(status=status or "200"), message, pause)


def fault_in_reply(answer: Mapping[str, Any]) -> Fault | None:
    """The fault of an error that a server sent with status 200, as gateways do; None where the reply has no error."""
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for part in (answer, first):
        if isinstance(part, Mapping) and part.get("error"):
            return fault_of_status(status_in(part), part, {})
    if "choices" not in answer and "content" not in answer and answer.get("message") and answer.get("code"):
        # DashScope and Mistral write code and message without "error".
        return fault_of_status(status_in(answer), answer, {})
    return None


def raise_unfinished(finish: str, text: str) -> None:
    """Raise Fault where a model ended its reply for a reason of `UNFINISHED`, as its start in a lower-case word."""
    for start, (kind, reason) in UNFINISHED.items():
        if finish.lower().startswith(start):
            raise Fault(kind, reason, text)


def status_in(body: object) -> int:
    """The HTTP status that an error names, itself or by its code; NO_STATUS where there is none."""
    error = error_of(body)
    for key in _STATUS_KEYS:
        text = str(error.get(key))
        if text.isdecimal() and 400 <= int(text) < 600:
            return int(text)
    return next((STATUSES[code] for code in codes_of(body) if code in STATUSES), NO_STATUS)


def error_of(body: object) -> Mapping[str, Any]:
    """The object that describes an error: {"error": …}, a list of one (Gemini), or the body itself.

    A message that is JSON itself, as some gateways pass it on, is read too. A text becomes {"message": text}.
    """
    if isinstance(body, list):
        body = body[0] if body else {}
    error: Any = body.get("error") or body if isinstance(body, Mapping) else body
    if not isinstance(error, Mapping):
        return {"message": error} if error else {}
    message = error.get("message")
    if isinstance(message, str) and message.lstrip().startswith("{"):
        with contextlib.suppress(ValueError, RecursionError):
            inner = json.loads(message)
            if isinstance(inner, Mapping) and inner != error:
                return {**error, **error_of(inner)}
    return error


def codes_of(body: object) -> list[str]:
    """Every code and type of an error, in lower case, those of its inner parts too."""
    error = error_of(body)
    details = error.get("details")
    parts = [error, error.get("innererror"), error.get("metadata"), *(details if isinstance(details, list) else ())]
    found = [part.get(key) for part in parts if isinstance(part, Mapping) for key in _CODE_KEYS]
    return [str(code).lower() for code in found if isinstance(code, str | int)]


def lost_batch(fault: Fault) -> Fault:
    """The fault of a call about a batch; REQUEST where the batch does not exist, so that its requests are sent again."""
    return Fault(FaultKind.REQUEST, "no such batch", fault.detail) if fault.reason == NOT_FOUND else fault


def message_of(body: object) -> str:
    """Code and message of an error's body, on one line."""
    error = error_of(body)
    said = {key: error[key] for key in _MESSAGE_KEYS if error.get(key)}
    parameter = error.get("param")
    if isinstance(parameter, str) and parameter not in str(said):
        said["param"] = parameter
    raw = (error.get("metadata") or {}).get("raw") if isinstance(error.get("metadata"), Mapping) else None
    return " ".join(": ".join(str(each) for each in [*said.values(), *([raw] if raw else [])]).split())


def count_of(usage: object, name: str) -> int | None:
    """A number of tokens, where the server gives a plausible one."""
    found = usage.get(name) if isinstance(usage, Mapping) else None
    return found if type(found) is int and 0 <= found < _MAX_PLAUSIBLE_TOKENS else None


def keys_digest(keys: Sequence[str]) -> str:
    """sha256, in hexadecimal, over sorted ledger keys, one per line: identifies a batch whose provider stores no label."""
    digest = hashlib.sha256()
    for key in sorted(keys):
        digest.update(f"{key}\n".encode())
    return digest.hexdigest()
