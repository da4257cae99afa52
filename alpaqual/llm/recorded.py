"""Recorded replies in place of a model: the ledger answers, nothing is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alpaqual.errors import Fault, FaultKind

if TYPE_CHECKING:
    from alpaqual.values import Endpoint, Reply, Request


class Plugin:
    """Raises on any request that the recording does not answer."""

    BATCH_REQUESTS = 0
    PROBABILITIES = False
    STRUCTURED = False
    LOCAL = False
    FREE = True
    RECORDED = True

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def complete(self, request: Request) -> Reply:
        """Raises Fault."""
        raise Fault(FaultKind.REQUEST, "no recorded reply")

    async def alive(self) -> bool:
        """Always: there is no server."""
        return True

    async def close(self) -> None:
        """Nothing is open."""
