"""Calls to a provider that end in a value or a Fault: the two packages raise errors of the same shape."""

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
"""A 400 may quote the row, which may speak of bills."""
_OF_THE_ROW = (
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
_NOT_THERE = "the model or the address is not there"
_TRANSIENT = (408, 409, 425)
_WORDS = ("code", "type", "message", "detail")


def key_of(endpoint: Endpoint, variable: str) -> str:
    """The key in an environment variable; "none" for a server of one's own that needs none.

    Raises MachineError where the provider needs one, or where what is there can be none: its packages would quote it.
    """
    key = os.environ.get(variable, "").strip()
    if not key and endpoint.base_url is None:
        raise MachineError(f"{endpoint.provider}/{endpoint.model} needs a key: export {variable}=…")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise MachineError(f"{variable} holds characters that no key has: export it again")
    return key or "none"


_KEY_REFUSED = "the key is refused"
_GONE = ("no connection", "timeout", "server error 502", "server error 503", "server error 504")
"""What shows that nobody is there: nothing at all, or the word of what stands before a server."""
_LOOK_SECONDS = 10.0
_WORDS_SHOWN = 300
_MOST_TOKENS = 10**9
"""What no reply has."""


@dataclass(frozen=True)
class Calls:
    """One endpoint's calls. `package` is openai or anthropic, `key` what no fault may quote, `timeout` in seconds."""

    package: Any
    address: str
    key: str
    timeout: float
    variable: str = ""
    """The environment variable that the key is read from."""

    async def value(self, call: Awaitable[object], limit: float | None = None) -> Mapping[str, Any]:
        """The JSON object that a call gives within `limit` seconds (None: no limit on the whole). Raises Fault."""
        try:
            # The package's own timeout starts again with every byte.
            async with asyncio.timeout(limit):
                found = await call
        except Exception as error:
            raise self.fault(error) from None
        if not isinstance(found, Mapping):
            raise Fault(FaultKind.TRANSIENT, "broken reply", "no JSON object")
        return found

    async def alive(self, call: Awaitable[object]) -> bool:
        """Whether a call shows that the server is there, whatever it says."""
        try:
            await self.value(call, min(self.timeout, _LOOK_SECONDS))
        except Fault as fault:
            return fault.reason not in _GONE
        return True

    async def of_batch(self, call: Awaitable[object]) -> Mapping[str, Any]:
        """As `value`; that a batch is not there is a Fault of the kind REQUEST."""
        try:
            return await self.value(call)
        except Fault as fault:
            raise gone(fault) from None

    async def lines(self, opened: Any) -> AsyncIterator[Mapping[str, Any]]:
        """The JSON objects of a batch's file in JSON Lines, as they arrive; `opened` is a response that is streamed.

        Raises Fault, as `of_batch` does.
        """
        rest = b""
        try:
            async with opened as response:
                async for some in response.iter_bytes():
                    *whole, rest = (rest + some).split(b"\n")
                    for line in whole:
                        yield self.line(line)
        except Fault:
            raise
        except Exception as error:
            found = self.fault(error)
            raise (gone(found) if isinstance(found, Fault) else found) from None
        if rest.strip():
            yield self.line(rest)

    def line(self, line: bytes) -> Mapping[str, Any]:
        """The object of one line; an empty one for an empty line. Raises Fault."""
        try:
            found = json.loads(line) if line.strip() else {}
        except (ValueError, RecursionError) as error:
            raise self.fault(error) from None
        if not isinstance(found, Mapping):
            raise Fault(FaultKind.TRANSIENT, "broken reply", "no JSON object")
        return found

    def fault(self, error: Exception) -> Exception:
        """What an error of the package means; an error that is none of its own stays what it is."""
        package = self.package
        if isinstance(error, package.APIStatusError):
            fault = fault_of_status(error.status_code, error.body, error.response.headers)
            if fault.reason == _KEY_REFUSED and self.key == "none" and self.variable:
                fault = Fault(fault.kind, fault.reason, f"none was sent, export {self.variable}=…: {fault.detail}")
            elif fault.reason == _NOT_THERE:
                fault = Fault(fault.kind, fault.reason, f"{self.address}: {fault.detail}")
            return self.hushed(fault)
        if isinstance(error, package.APITimeoutError | TimeoutError):
            return Fault(FaultKind.TRANSIENT, "timeout", f"nothing within {self.timeout:g} s")
        if isinstance(error, package.APIConnectionError):
            why = str(error.__cause__ or error) or type(error.__cause__).__name__
            return self.hushed(Fault(FaultKind.TRANSIENT, "no connection", f"{self.address}: {why}"))
        if isinstance(error, UnicodeEncodeError):
            return Fault(FaultKind.REQUEST, "a text that cannot be sent", "half of a surrogate pair")
        if isinstance(error, ValueError | RecursionError | package.APIError):
            return self.hushed(Fault(FaultKind.TRANSIENT, "broken reply", words_of(str(error))))
        if type(error).__module__.partition(".")[0].startswith("httpx"):
            # What breaks while a body is streamed comes as it is.
            return self.hushed(Fault(FaultKind.TRANSIENT, "no connection", f"{self.address}: {words_of(str(error))}"))
        return error

    def hushed(self, fault: Fault) -> Fault:
        """The fault without the key: some servers quote it."""
        # Cut afterwards: half a key is a secret too.
        detail = fault.detail.replace(self.key, "…") if self.key != "none" else fault.detail
        return Fault(fault.kind, fault.reason, detail[:_WORDS_SHOWN], fault.retry_after)


def fault_of_status(status: int, body: object, headers: Mapping[str, str]) -> Fault:
    """The fault that a server's refusal is."""
    words = words_of(body)
    lower = words.lower()
    if _no_money(status, lower):
        return Fault(FaultKind.FATAL, "no money is left with the provider", words)
    if status in (401, 403):
        return Fault(FaultKind.FATAL, _KEY_REFUSED, words)
    if status == 404:
        return Fault(FaultKind.FATAL, _NOT_THERE, words)
    if status == 429 and "request too large" in lower:
        # More tokens than a whole minute has: waiting does not help.
        return Fault(FaultKind.REQUEST, "refused by the server (429)", words)
    if status in (429, 529):
        return Fault(FaultKind.THROTTLED, "rate limit" if status == 429 else "overloaded", words, retry_after(headers))
    if status >= 500 or status in _TRANSIENT:
        return Fault(FaultKind.TRANSIENT, f"server error {status}", words, retry_after(headers))
    if status == 413 or any(sign in lower for sign in _OF_THE_ROW):
        return Fault(FaultKind.REQUEST, f"refused by the server ({status})", words)
    return Fault(FaultKind.REFUSED, f"refused by the server ({status})", words)


def gone(fault: Fault) -> Fault:
    """The fault of a call about a batch: without the batch its requests can be sent again."""
    return Fault(FaultKind.REQUEST, "no such batch", fault.detail) if fault.reason == _NOT_THERE else fault


def _no_money(status: int, lower: str) -> bool:
    signs = {429: _NO_MONEY, 400: _NO_MONEY_400, 403: _NO_MONEY_400}.get(status, ())
    return status == 402 or any(sign in lower for sign in signs)


def words_of(body: object) -> str:
    """Code and message of an error's body, in one line."""
    error: Any = body.get("error", body) if isinstance(body, Mapping) else body
    if isinstance(error, Mapping):
        error = ": ".join(str(error[key]) for key in _WORDS if error.get(key))
    return " ".join(str(error or "").split())


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, where it does."""
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
    """A number of tokens, where a server counted them."""
    found = usage.get(name) if isinstance(usage, Mapping) else None
    return found if type(found) is int and 0 <= found < _MOST_TOKENS else None


def keys_digest(keys: Sequence[str]) -> str:
    """sha256, in hexadecimal, over sorted ledger keys, each on a line: what a batch is known by where it can have no name."""
    whole = hashlib.sha256()
    for key in sorted(keys):
        whole.update(f"{key}\n".encode())
    return whole.hexdigest()
