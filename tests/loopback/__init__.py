"""A provider on this machine, for tests and benchmarks: a real server in a process of its own.

with Server(latency_ms=5, rows={"row 7": "hang"}) as server:
    Endpoint("openai", "m", base_url=server.openai)      # or server.anthropic
    server.settings(all="throttle")
    server.stats()["most_in_flight"]
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from .prompts import joined, named_score, score_of

__all__ = ["Server", "joined", "named_score", "score_of"]


class Server:
    """Starts with the settings of `settings.py`, and ends with `stop`, with the `with`, or with the process that started it."""

    def __init__(self, *, port: int = 0, **settings: Any) -> None:
        """Raises RuntimeError where it does not start."""
        program = Path(__file__).with_name("server.py")
        words = [sys.executable, str(program), "--port", str(port), "--until-eof", "--settings", json.dumps(settings)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        if not ready:
            self.stop()
            raise RuntimeError("the loopback server did not start; its own words are above")
        self.port: int = json.loads(ready)["port"]

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai(self) -> str:
        """The base_url of an endpoint of OpenAI's."""
        return f"{self.url}/v1"

    @property
    def anthropic(self) -> str:
        """The base_url of an endpoint of Anthropic's."""
        return self.url

    def settings(self, **changes: Any) -> None:
        """Change the server's behaviour. Raises ValueError for what it does not know."""
        self.call("POST", "/_/settings", changes)

    def stats(self) -> dict[str, Any]:
        """What it has seen so far: see `Tallies.facts`."""
        return dict(self.call("GET", "/_/stats"))

    def asked(self) -> dict[str, int]:
        """How often each prompt came, while `record` was on."""
        return dict(self.call("GET", "/_/asked"))

    def batches(self) -> list[dict[str, Any]]:
        """The batches it has: id, provider, rows (how many), metadata."""
        return list(self.call("GET", "/_/batches"))

    def reset(self) -> None:
        """Count from zero again; settings and batches stay."""
        self.call("POST", "/_/reset")

    def restore(self, **settings: Any) -> None:
        """Every setting as it is by default, but for these; counts from zero."""
        self.call("POST", "/_/restore")
        self.settings(**settings)

    def forget(self) -> None:
        """Lose all files and batches."""
        self.call("POST", "/_/forget")

    def stop(self) -> None:
        """End the process; again is no error."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGTERM)
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the server about itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            value = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != 200:
            raise ValueError(f"{path}: {value}")
        return value

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()
