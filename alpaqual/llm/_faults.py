"""Calls through the openai or anthropic package, which raise errors of the same shape; each becomes a Fault."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hashlib
import json
import math
import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from alpaqual.errors import Fault, FaultKind, MachineError
from alpaqual.values import Endpoint

_NO_MONEY = ("insufficient_quota", "billing", "credit balance")
_NO_MONEY_400 = ("credit balance is too low", "billing_hard_limit_reached")
"""Only these in a 400, whose message may quote the row."""
_ROW_ERRORS = (
    "context_length",
    "context length",
    "context_size",
    "context size",
    "context limit",
    "context window",
    "string_above_max",
    "content_filter",
    "content filter",
    "content_policy",
    "content policy",
    "invalid_prompt",
    "prompt is too long",
    "too large",
)
_NOT_FOUND = "the model or the address does not exist"
_TRANSIENT = (408, 409, 425)
_MESSAGE_KEYS = ("code", "type", "message", "detail")


def key_of(endpoint: Endpoint, variable: str) -> str:
    """The API key in an environment variable; "none" where it is unset and the endpoint has a `base_url`.

    Raises MachineError where the key is missing, or has characters with which the packages would quote it in an error.
    """
    key = os.environ.get(variable, "").strip()
    if not key and endpoint.base_url is None:
        raise MachineError(f"{endpoint.provider}/{endpoint.model} needs a key: export {variable}=…")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise MachineError(f"{variable} holds characters that an API key never has: export it again")
    return key or "none"


_KEY_REFUSED = "the key is refused"
_DOWN = ("no connection", "timeout", "server error 502", "server error 503", "server error 504")
"""Faults that show that the server is down: no response, or one of a proxy in front of it."""
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

    async def value(self, call: Awaitable[object], limit: float | None = None) -> Mapping[str, Any]:
        """The JSON object that a call returns within `limit` seconds (None: no limit). Raises Fault."""
        try:
            # The package's own timeout restarts with every byte.
            async with asyncio.timeout(limit):
                found = await call
        except Exception as error:
            raise self.fault(error) from None
        if not isinstance(found, Mapping):
            raise Fault(FaultKind.TRANSIENT, "broken reply", "not a JSON object")
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
            if fault.reason == _KEY_REFUSED and self.key == "none" and self.variable:
                fault = Fault(fault.kind, fault.reason, f"none was sent, export {self.variable}=…: {fault.detail}")
            elif fault.reason == _NOT_FOUND:
                fault = Fault(fault.kind, fault.reason, f"{self.address}: {fault.detail}")
            return self.without_key(fault)
        if isinstance(error, package.APITimeoutError | TimeoutError):
            return Fault(FaultKind.TRANSIENT, "timeout", f"nothing within {self.timeout:g} s")
        if isinstance(error, package.APIConnectionError):
            cause = str(error.__cause__ or error) or type(error.__cause__).__name__
            return self.without_key(Fault(FaultKind.TRANSIENT, "no connection", f"{self.address}: {cause}"))
        if isinstance(error, UnicodeEncodeError):
            return Fault(FaultKind.REQUEST, "a text that UTF-8 cannot encode", "a lone surrogate")
        if isinstance(error, ValueError | RecursionError | package.APIError):
            return self.without_key(Fault(FaultKind.TRANSIENT, "broken reply", message_of(str(error))))
        if type(error).__module__.partition(".")[0].startswith("httpx"):
            # Errors while a body is streamed are not wrapped by the package.
            return self.without_key(
                Fault(FaultKind.TRANSIENT, "no connection", f"{self.address}: {message_of(str(error))}")
            )
        return error

    def without_key(self, fault: Fault) -> Fault:
        """The fault without the key, which some servers quote."""
        # Shorten afterwards: half a key is a secret too.
        detail = fault.detail.replace(self.key, "…") if self.key != "none" else fault.detail
        return Fault(fault.kind, fault.reason, detail[:_MAX_DETAIL], fault.retry_after)


def fault_of_status(status: int, body: object, headers: Mapping[str, str]) -> Fault:
    """The fault of an HTTP status, by the message of its body."""
    message = message_of(body)
    lower = message.lower()
    if _no_money(status, lower):
        return Fault(FaultKind.FATAL, "no money is left with the provider", message)
    if status in (401, 403):
        return Fault(FaultKind.FATAL, _KEY_REFUSED, message)
    if status == 404:
        return Fault(FaultKind.FATAL, _NOT_FOUND, message)
    if status == 429 and "request too large" in lower:
        # More tokens than the limit per minute: a retry does not help.
        return Fault(FaultKind.REQUEST, "refused by the server (429)", message)
    if status in (429, 529):
        return Fault(
            FaultKind.THROTTLED, "rate limit" if status == 429 else "overloaded", message, retry_after(headers)
        )
    if status >= 500 or status in _TRANSIENT:
        return Fault(FaultKind.TRANSIENT, f"server error {status}", message, retry_after(headers))
    if status == 413 or any(sign in lower for sign in _ROW_ERRORS):
        return Fault(FaultKind.REQUEST, f"refused by the server ({status})", message)
    return Fault(FaultKind.REFUSED, f"refused by the server ({status})", message)


def lost_batch(fault: Fault) -> Fault:
    """The fault of a call about a batch; REQUEST where the batch does not exist, so that its requests are sent again."""
    return Fault(FaultKind.REQUEST, "no such batch", fault.detail) if fault.reason == _NOT_FOUND else fault


def _no_money(status: int, lower: str) -> bool:
    signs = {429: _NO_MONEY, 400: _NO_MONEY_400, 403: _NO_MONEY_400}.get(status, ())
    return status == 402 or any(sign in lower for sign in signs)


def message_of(body: object) -> str:
    """Code and message of an error's body, on one line."""
    error: Any = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(error, Mapping):
        error = ": ".join(str(error[key]) for key in _MESSAGE_KEYS if error.get(key))
    return " ".join(str(error or "").split())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait; None where it does not."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        with contextlib.suppress(KeyError, ValueError):
            seconds = float(headers[name]) / unit
            if math.isfinite(seconds):
                return max(0.0, seconds)
    with contextlib.suppress(ValueError, TypeError):
        until = parsedate_to_datetime(headers.get("retry-after", "")) - datetime.datetime.now(datetime.UTC)
        return max(0.0, until.total_seconds())
    return None


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
