"""The server itself: which path is answered by what, and how the process starts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fnmatch
import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from .batches import Batches
from .completing import Bucket, Completer
from .connection import Connection, header
from .replies import ANTHROPIC, OPENAI, RESPONSES, Answer, is_status
from .settings import Settings
from .tallies import Tallies

_COMPLETIONS = {
    "/v1/chat/completions": OPENAI,
    "/chat/completions": OPENAI,
    "/v1/responses": RESPONSES,
    "/openai/responses": RESPONSES,
    "/openai/v1/chat/completions": OPENAI,
    "/v1/messages": ANTHROPIC,
    "/messages": ANTHROPIC,
}
_DEPLOYMENT = re.compile(r"/openai/deployments/[^/]+/chat/completions")


class Service:
    """What all connections share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tallies = Tallies(settings)
        self.completer = Completer(settings, self.tallies)
        self.batches = Batches(settings, self.completer)
        self.connections: set[Connection] = set()
        self.down_until = 0.0
        self.path_times: dict[str, int] = {}
        self.server: asyncio.Server | None = None
        self.port = 0

    async def listen(self, port: int) -> None:
        """Accept connections, on this machine only."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]

    def request(self, connection: Connection, head: bytes, body: bytes) -> None:
        """Answer a request: at once, later or never."""
        first = head[: head.index(b"\r\n")] if b"\r\n" in head else head
        method, _, rest = first.decode("latin-1").partition(" ")
        target = rest.partition(" ")[0]
        # A proxy gets the whole address.
        path, _, query = re.sub(r"^http://[^/]+", "", target).partition("?")
        if path.startswith("/_/"):
            connection.send(self.control(method, path, body), counted=False)
            return
        if time.monotonic() < self.down_until:
            connection.transport.abort()
            return
        self.tallies.came(f"{method} {path}")
        connection.open += 1
        if self.settings.record:
            self.tallies.headers.append(head.decode("latin-1"))
        provider = OPENAI if _DEPLOYMENT.fullmatch(path) else _COMPLETIONS.get(path)
        if provider is not None and method == "POST":
            answer = self.completer.answer(provider, body, _key(head), header(head, "anthropic-version"))
        else:
            answer = self.other(method, path, query, head, body)
        self.deliver(connection, answer)

    def other(self, method: str, path: str, query: str, head: bytes, body: bytes) -> Answer:
        """Files and batches, with the faults of `paths`."""
        kind = self.path_kind(f"{method} {path}")
        provider = ANTHROPIC if path.startswith("/v1/messages") else OPENAI
        if self.settings.key is not None and _key(head) != self.settings.key:
            return self.completer.denied(provider, _key(head))
        if is_status(kind):
            return self.completer.refuse(kind, provider)
        if method == "GET" and path in ("/v1/models", "/models"):
            models = [{"id": name, "object": "model", "type": "model"} for name in self.settings.models or ["m"]]
            answer = Answer(200, json.dumps({"object": "list", "data": models, "has_more": False}).encode())
        else:
            answer = self.batches.answer(method, path, query, head, body)
        return Answer(answer.status, answer.body, answer.headers, kind) if kind else answer

    def path_kind(self, call: str) -> str:
        """The fault that a call gets this time. A * in a name stands for anything."""
        for name, fault in self.settings.paths.items():
            if fnmatch.fnmatchcase(call, name):
                times = self.path_times[name] = self.path_times.get(name, 0) + 1
                if isinstance(fault, str) or times <= fault[1]:
                    return fault if isinstance(fault, str) else str(fault[0])
        return ""

    def deliver(self, connection: Connection, answer: Answer) -> None:
        """Send after the time that the settings say."""
        if answer.kind in ("hang", "expire", "left_out"):
            return
        if answer.kind == "cancel":
            answer = Answer(answer.status, answer.body, answer.headers, "drop")
        delay = self.completer.delay(answer.kind)
        if delay:
            asyncio.get_running_loop().call_later(delay, connection.send, answer)
        else:
            connection.send(answer)

    def control(self, method: str, path: str, body: bytes) -> Answer:
        """What tests ask of the server itself."""
        try:
            known = {
                ("POST", "/_/settings"): lambda: self.change(json.loads(body or b"{}")),
                ("GET", "/_/stats"): self.tallies.facts,
                ("GET", "/_/asked"): lambda: dict(self.tallies.texts),
                ("GET", "/_/batches"): self.batches.facts,
                ("POST", "/_/reset"): self.reset,
                ("POST", "/_/restore"): self.restore,
                ("POST", "/_/forget"): self.batches.forget,
            }
            found = known.get((method, path))
            if found is None:
                return Answer(404, b"{}")
            return Answer(200, json.dumps(found()).encode("utf-8", "surrogatepass"))
        except (ValueError, TypeError) as error:
            return Answer(400, json.dumps({"error": str(error)}).encode())

    def change(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Take in settings; while down, connections are cut."""
        self.settings.update(changes)
        if "paths" in changes:
            self.path_times.clear()
        if "down" in changes:
            self.down_until = time.monotonic() + self.settings.down
            # The answer to this very request has to get out first.
            asyncio.get_running_loop().call_later(0.02, self.cut, self.settings.down)
        return {}

    def cut(self, seconds: float) -> None:
        """End all connections, and accept none where the settings refuse them."""
        for connection in list(self.connections) if seconds > 0 else []:
            connection.transport.abort()
        if seconds > 0 and self.settings.refuse and self.server is not None:
            self.server.close()
            asyncio.get_running_loop().call_later(seconds, self.back)

    def back(self) -> None:
        """Accept connections again."""
        self.returning = asyncio.get_running_loop().create_task(self.listen(self.port))

    def restore(self) -> dict[str, Any]:
        """Behave as if just started without settings; batches stay."""
        vars(self.settings).update(vars(Settings()))
        self.completer.requests, self.completer.tokens = Bucket(), Bucket()
        return self.reset()

    def reset(self) -> dict[str, Any]:
        """Start counting again."""
        self.tallies.reset()
        self.path_times.clear()
        return {}


def _key(head: bytes) -> str:
    return header(head, "x-api-key") or header(head, "api-key") or header(head, "authorization").removeprefix("Bearer ")


def main(words: Sequence[str]) -> None:
    """Serve until SIGTERM, or until standard input ends where `--until-eof` is given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--settings", default="{}", help="JSON")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input does")
    given = parser.parse_args(words)
    settings = Settings()
    settings.update(json.loads(given.settings))
    if given.until_eof:
        # Ctrl-C in a terminal is meant for who started this.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(Service(settings), given.port, given.until_eof))


async def _serve(service: Service, port: int, until_eof: bool) -> None:
    await service.listen(port)
    print(json.dumps({"port": service.port, "pid": os.getpid()}), flush=True)  # noqa: T201 - for who started it
    if until_eof:
        # The parent may have been killed, and cannot end this process then.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        os._exit(0)
    await asyncio.Event().wait()
