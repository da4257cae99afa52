"""Recorded replies instead of a model: the ledger answers, nothing is sent."""

from __future__ import annotations

from collections.abc import Callable

from alpaqual.contracts import Replies
from alpaqual.values import Reply, Request


class Plugin:
    """Answers a request with what any recorded model once replied to the same messages and parameters."""

    def __init__(self, replies: Replies, key: Callable[[Request], str]) -> None:
        self.replies = replies
        self.key = key

    async def complete(self, request: Request) -> Reply | None:
        """The recorded reply, or None where there is none."""
        for model in self.replies.models():
            reply = self.replies.get(self.key(Request(model, request.messages, request.parameters)))
            if reply is not None:
                return reply
        return None
