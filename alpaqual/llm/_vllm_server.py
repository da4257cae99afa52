"""Starts and ends `vllm serve` for one model, on this machine's loopback address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import sys
import tempfile
from typing import IO

from alpaqual.errors import MachineError
from alpaqual.llm._local_files import Place

NAME = "model"
"""The name that the server gives the model, adapters included."""
_START_SECONDS = 1_800.0
_POLL_SECONDS = 0.2
_SHOWN = 400
"""Characters of the server's output in a message."""
_HOST = "127.0.0.1"


def require_vllm() -> None:
    """Raise MachineError where the program `vllm` is missing."""
    if shutil.which("vllm") is None:
        raise MachineError(
            "a model that vLLM runs here needs the program vllm, which is not installed: pip install vllm - or leave out "
            "'engine: vllm', or write local/… in place of vllm/…; a vLLM server that runs already is openai/NAME with its base_url"
        )


class VllmServer:
    """One server; it also ends when this process is killed."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.process: asyncio.subprocess.Process | None = None
        self.log: IO[bytes] | None = None
        self.port = 0

    async def start(self) -> str:
        """Start the server and wait until it answers; returns the address of its API.

        Raises MachineError where it ends before.
        """
        self.port = _free_port()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "alpaqual.llm._guard",
            *self._command(),
            # The guard ends the server when this is closed, also by a kill of this process.
            stdin=asyncio.subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not await self.is_healthy():
                    if self.process.returncode is not None:
                        raise MachineError(f"vllm serve did not start: {self._output()}")
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            await self.stop()
            raise MachineError(f"vllm serve did not answer within {_START_SECONDS:.0f} s: {self._output()}") from None
        return f"http://{_HOST}:{self.port}/v1"

    async def is_healthy(self) -> bool:
        """Whether the server answers `GET /health` with 200."""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(_HOST, self.port)
                try:
                    writer.write(f"GET /health HTTP/1.1\r\nHost: {_HOST}\r\nConnection: close\r\n\r\n".encode())
                    await writer.drain()
                    return b" 200" in await reader.readline()
                finally:
                    writer.close()
        return False

    async def stop(self) -> None:
        """End the server, where it runs."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            await self.process.wait()
        if self.log is not None:
            self.log.close()

    def _command(self) -> list[str]:
        model = str(self.place.folder or self.place.name)
        command = ["vllm", "serve", model, "--host", _HOST, "--port", str(self.port)]
        if self.place.adapter is None:
            return [*command, "--served-model-name", NAME]
        config = json.loads((self.place.adapter / "adapter_config.json").read_text(encoding="utf-8"))
        adapters = ["--enable-lora", "--lora-modules", f"{NAME}={self.place.adapter}"]
        return [*command, *adapters, "--max-lora-rank", str(config.get("r") or 16)]

    def _output(self) -> str:
        """The end of what the server printed."""
        if self.log is None or self.log.closed:
            return ""
        self.log.seek(0)
        text = " ".join(self.log.read().decode("utf-8", "replace").split())
        return text[-_SHOWN:] or "it printed nothing"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port
