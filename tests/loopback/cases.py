"""What both providers' plug-ins have to make of a server's behaviour."""

from __future__ import annotations

import asyncio
from typing import Any

from alpaqual.contracts import Model
from alpaqual.errors import Fault, FaultKind
from alpaqual.values import Reply, Request

KEY = "sk-test-0123456789abcdef"

FAULTS: list[tuple[str, FaultKind, str]] = [
    ("throttle", FaultKind.THROTTLED, "rate limit"),
    ("throttle_bare", FaultKind.THROTTLED, "rate limit"),
    ("error", FaultKind.TRANSIENT, "server error 500"),
    ("unavailable", FaultKind.TRANSIENT, "server error 503"),
    ("timeout_status", FaultKind.TRANSIENT, "server error 408"),
    ("reset", FaultKind.TRANSIENT, "no connection"),
    ("drop", FaultKind.TRANSIENT, "no connection"),
    ("hang", FaultKind.TRANSIENT, "timeout"),
    ("truncated", FaultKind.TRANSIENT, "broken reply"),
    ("html", FaultKind.TRANSIENT, "broken reply"),
    ("empty_body", FaultKind.TRANSIENT, "broken reply"),
    ("null", FaultKind.TRANSIENT, "broken reply"),
    ("no_choice", FaultKind.TRANSIENT, "broken reply"),
    ("context_length", FaultKind.REQUEST, "refused by the server (400)"),
    ("content_filter", FaultKind.REQUEST, "refused by the server (400)"),
    ("too_large", FaultKind.REQUEST, "refused by the server (413)"),
    ("unsupported", FaultKind.REFUSED, "refused by the server (400)"),
    ("invalid", FaultKind.REFUSED, "refused by the server (400)"),
    ("payment", FaultKind.FATAL, "no money is left with the provider"),
    ("unauthorized", FaultKind.DENIED, "the key is refused"),
    ("forbidden", FaultKind.DENIED, "the key is refused"),
    ("not_found", FaultKind.DENIED, "the model or the address does not exist"),
]

TEXTS = [
    ("empty", ""),
    ("prose", "That is a fine response, and I would rate it highly."),
    ("refusal", "I'm sorry, but I can't help with that."),
]

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"score": {"type": "number"}},
    "required": ["score"],
    "additionalProperties": False,
}

MESSAGES = (("system", "You rate."), ("user", "row 1"), ("assistant", "4"), ("user", "row 2"))


def asked(text: str = "row 1", **parameters: Any) -> Request:
    """A request with one message."""
    return Request("test/m", (("user", text),), parameters)


def complete(plugin: Model, *requests: Request) -> list[Reply | Fault]:
    """What comes of requests, one after the other; the plug-in is closed."""

    async def work() -> list[Reply | Fault]:
        found: list[Reply | Fault] = []
        try:
            for request in requests:
                try:
                    found.append(await plugin.complete(request))
                except Fault as fault:
                    found.append(fault)
        finally:
            await plugin.close()
        return found

    return asyncio.run(work())


def fault_of(plugin: Model, request: Request | None = None) -> Fault:
    """The fault that a request ends in."""
    (found,) = complete(plugin, request or asked())
    assert isinstance(found, Fault), found
    return found
