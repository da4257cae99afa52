"""One connection: HTTP/1.1 requests in, answers out. No more of HTTP than the two SDKs use."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

from .replies import Answer

if TYPE_CHECKING:
    from .serving import Service

_REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


def header(head: bytes, name: str) -> str:
    """The value of a header; "" where there is none."""
    at = head.lower().find(f"\r\n{name}: ".encode())
    return head[at + len(name) + 4 :].split(b"\r\n", 1)[0].strip().decode("latin-1") if at >= 0 else ""


class Connection(asyncio.Protocol):
    """Reads requests one after the other. Each byte of headers is looked at in C."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.buffer = bytearray()
        self.transport: asyncio.Transport
        self.open = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.service.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.service.connections.discard(self)
        while self.open:
            self.open -= 1
            self.service.tallies.went(0)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self.buffer and self.one():
            pass

    def one(self) -> bool:
        """Take one request out of the buffer; False while it is not all there."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self.buffer[:end])
        lower = head.lower()
        if b"\r\ntransfer-encoding: chunked" in lower:
            taken = self.chunked(end + 4)
            if taken is None:
                return False
            body, stop = taken
        else:
            at = lower.find(b"\r\ncontent-length:")
            length = (
                int(lower[at + 17 : lower.find(b"\r\n", at + 2) if b"\r\n" in lower[at + 2 :] else None])
                if at > 0
                else 0
            )
            stop = end + 4 + length
            if len(self.buffer) < stop:
                return False
            body = bytes(self.buffer[end + 4 : stop])
        del self.buffer[:stop]
        self.service.request(self, head, body)
        return True

    def chunked(self, at: int) -> tuple[bytes, int] | None:
        """A body in chunks and where it ends; None while it is not all there."""
        body = bytearray()
        while True:
            line = self.buffer.find(b"\r\n", at)
            if line < 0:
                return None
            length = int(self.buffer[at:line].split(b";")[0], 16)
            if len(self.buffer) < line + 4 + length:
                return None
            body += self.buffer[line + 2 : line + 2 + length]
            at = line + 4 + length
            if not length:
                return bytes(body), at

    def send(self, answer: Answer, *, counted: bool = True) -> None:
        """Write an answer, whole or spoilt."""
        if self.transport.is_closing():
            return
        body = answer.body
        if answer.kind == "drop":
            self.transport.close()
            return
        if answer.kind == "truncated":
            body = body[: len(body) // 2]
        kind = "" if "content-type" in answer.headers else "content-type: application/json\r\n"
        reason = _REASONS.get(answer.status, "Status")
        head = (
            f"HTTP/1.1 {answer.status} {reason}\r\n{kind}{answer.headers}content-length: {len(body)}\r\n\r\n".encode()
        )
        if answer.kind == "reset":
            self.transport.write(head + body[: len(body) // 2])
            asyncio.get_running_loop().call_later(0.005, self.reset)
            return
        self.transport.write(head + body)
        if counted:
            self.open -= 1
            self.service.tallies.went(answer.status)

    def reset(self) -> None:
        """End the connection with a reset, as a failing machine does, not with a farewell."""
        line = self.transport.get_extra_info("socket")
        if line is not None and line.fileno() >= 0:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
