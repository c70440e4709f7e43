"""A keep-alive HTTP/1.1 client that costs little, so that the service is what is measured.

One connection carries one request at a time. Answers need a `Content-Length`, or come in chunks
that are only counted.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit


class BrokenError(Exception):
    """The connection ended before the answer did."""


class _Protocol(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[tuple[int, bytes, bytes]] | None = None
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data = self._data + data if self._data else data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._data[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            if b"\r\ntransfer-encoding: chunked" in head:
                if not self._data.endswith(b"0\r\n\r\n"):
                    return
                body = self._data[end + 4 :]
            else:
                body = b""
        else:
            start = at + 17
            stop = head.find(b"\r\n", start)
            length = int(head[start : stop if stop >= 0 else None])
            if len(self._data) < end + 4 + length:
                return
            body = self._data[end + 4 :]
        self._data = b""
        if self.answer is not None and not self.answer.done():
            self.answer.set_result((int(head[9:12]), head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answer is not None and not self.answer.done():
            self.answer.set_exception(BrokenError(repr(exc)))


class Connection:
    """One connection to a server, opened again when the server has closed it."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        at = urlsplit(url)
        self._host, self._port = str(at.hostname), int(at.port or 80)
        self._prefix = at.path.rstrip("/")
        lines = [f"Host: {self._host}:{self._port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._headers = "\r\n".join(lines)
        self._protocol: _Protocol | None = None

    def encode(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> bytes:
        """Build the bytes of a request; do it ahead of the measurement."""
        head = f"{method} {self._prefix}{path} HTTP/1.1\r\n{self._headers}"
        for name, value in (headers or {}).items():
            head += f"\r\n{name}: {value}"
        if body or method == "POST":
            if "Content-Type" not in (headers or {}):
                head += "\r\nContent-Type: application/json"
            head += f"\r\nContent-Length: {len(body)}"
        return f"{head}\r\n\r\n".encode() + body

    async def exchange(self, request: bytes) -> tuple[int, bytes, bytes]:
        """Send a request; return status, lower-case head and body of the answer.

        Raises:
            BrokenError: The server hung up meanwhile.
        """
        loop = asyncio.get_running_loop()
        protocol = self._protocol
        if protocol is None or protocol.transport is None or protocol.transport.is_closing():
            _, protocol = await loop.create_connection(_Protocol, self._host, self._port)
            self._protocol = protocol
        assert protocol.transport is not None
        protocol.answer = loop.create_future()
        protocol.transport.write(request)
        return await protocol.answer

    async def json(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """Send a request that must succeed and return the JSON of its answer."""
        content = b"" if body is None else json.dumps(body).encode()
        status, _, answer = await self.exchange(self.encode(method, path, content, headers))
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer.decode()[:500]}")
        return json.loads(answer) if answer else None

    def close(self) -> None:
        """Hang up."""
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.close()
