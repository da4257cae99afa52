"""Recorded replies instead of a model: the ledger answers, nothing is sent."""

from __future__ import annotations

from alpaqual.errors import Fault, FaultKind
from alpaqual.values import Endpoint, Reply, Request


class Plugin:
    """Never answers: what was not recorded cannot be asked."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def complete(self, request: Request) -> Reply:
        """Raises Fault."""
        raise Fault(FaultKind.REQUEST, "no recorded reply")

    async def alive(self) -> bool:
        """There is nobody to be down."""
        return True

    async def close(self) -> None:
        """Nothing is open."""
