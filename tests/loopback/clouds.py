"""The two cloud providers as tests see them: names, addresses, plug-ins that send to the loopback server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from alpaqual.contracts import BatchModel
from alpaqual.errors import Fault, FaultKind
from alpaqual.registry import find
from alpaqual.store.ledger import request_key
from alpaqual.values import Endpoint, Reply, Request

from . import Server
from .cases import complete


@dataclass(frozen=True)
class Cloud:
    """A provider. `key`, `address`: its environment variables; `site`: its own address; `results`: where batches end."""

    name: str
    key: str
    address: str
    site: str
    results: str
    overloaded: tuple[FaultKind, str]

    def open(self, **settings: Any) -> Any:
        """The plug-in."""
        return find("llm", self.name)(Endpoint(self.name, "m", **settings))

    def plugin(self, server: Server, **more: Any) -> Any:
        """The plug-in that sends to the server."""
        return self.open(base_url=getattr(server, self.name), **{"timeout": 5.0, **more})

    def ready(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
        """The server as just started, and an environment without keys and proxies."""
        for name in (self.key, self.address, "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        server.restore(record=True)
        return server

    def body(self, server: Server, request: Request) -> dict[str, Any]:
        """The body that the server receives."""
        complete(self.plugin(server), request)
        return dict(server.stats()["bodies"][-1])

    def pairs(self, count: int, **parameters: Any) -> list[tuple[str, Request]]:
        """Requests of a batch with their keys."""
        requests = [Request(f"{self.name}/m", (("user", f"row {at:03d} ü\u2028"),), parameters) for at in range(count)]
        return [(request_key(request), request) for request in requests]


OPENAI = Cloud(
    "openai",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "https://api.openai.com",
    "GET /v1/files/*",
    (FaultKind.TRANSIENT, "server error 503"),
)
ANTHROPIC = Cloud(
    "anthropic",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_BASE_URL",
    "https://api.anthropic.com",
    "GET /v1/messages/batches/*/results",
    (FaultKind.THROTTLED, "overloaded"),
)


async def batch_results(opened: BatchModel, batch: str) -> dict[str, Reply | Fault]:
    """All results of a batch, by key."""
    return {key: outcome async for key, outcome in opened.results(batch)}
