"""Servers that others wrote, each in a process of its own: llama.cpp's with a small model, and LiteLLM's proxy.

with LlamaServer() as llama, Proxy(python, llama.url) as proxy:
    Endpoint("openai", "smollm2", base_url=llama.openai)
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from small_model import gguf_file

MODEL = "smollm2"
_FOLDER = Path(__file__).parent
_READY_SECONDS = 180.0


class Process:
    """A server program of this folder. It ends with `stop`, with the `with`, or with the process that started it."""

    def __init__(self, python: Path, program: str, settings: dict[str, Any], *, ready: str, port: int = 0) -> None:
        """`ready` is a path with status 200 once the server takes requests. Raises RuntimeError where it does not start."""
        self.port = port or _free_port()
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (`stop` closes it)
        words = [str(python), str(_FOLDER / program), json.dumps({**settings, "port": self.port})]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT)
        self.ready = ready

    @property
    def url(self) -> str:
        """Without a path: the base_url of an endpoint of Anthropic's."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def openai(self) -> str:
        """The base_url of an endpoint of OpenAI's."""
        return f"{self.url}/v1"

    def status(self, path: str) -> int:
        """The status of a GET; 0 where nothing answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().status
        return 0

    def statuses(self) -> Iterator[int]:
        """What `ready` answers, again and again, until it is 200. Raises RuntimeError where the server ends before."""
        end = time.monotonic() + _READY_SECONDS
        status = 0
        while status != 200:
            if self.process.poll() is not None or time.monotonic() > end:
                words = self.log()
                self.stop()
                raise RuntimeError(f"the server did not start:\n{words}")
            status = self.status(self.ready)
            yield status
            time.sleep(0.005)

    def wait(self) -> None:
        """Return when the server takes requests."""
        for _ in self.statuses():
            pass

    def log(self) -> str:
        """The end of what it printed."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")[-5000:]

    def stop(self) -> None:
        """End the process; again is no error."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._log.close()

    def __enter__(self) -> Process:
        self.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class LlamaServer(Process):
    """llama.cpp's server with SmolLM2-135M as the model `smollm2`, on one core."""

    def __init__(self, *, port: int = 0, slots: int = 2, context: int = 4096, keys: tuple[str, ...] = ()) -> None:
        """`slots` requests are answered together, each within `context / slots` tokens; without `keys` every key is right."""
        settings = {"model": str(gguf_file()), "alias": MODEL, "slots": slots, "context": context, "keys": keys}
        super().__init__(Path(sys.executable), "llama_program.py", settings, ready="/health", port=port)


class Proxy(Process):
    """LiteLLM's proxy, without a database, in front of an OpenAI-compatible server; `python` has `litellm[proxy]`."""

    def __init__(self, python: Path, models: list[dict[str, Any]], key: str) -> None:
        """`models` is the list `model_list` of its configuration, and `key` its master key."""
        settings = {"config": {"model_list": models, "general_settings": {"master_key": key}}}
        super().__init__(python, "proxy_program.py", settings, ready="/health/liveliness")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
