"""A keep-alive HTTP/1.1 client that costs little, so that the server is what is measured."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class Run:
    """Outcome of one load: latencies in seconds, and the duration of all of it."""

    elapsed_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, float]:
        """Summarise: requests per second, median and 99th percentile in milliseconds."""
        ordered = sorted(self.latencies_s)
        return {
            "requests": len(ordered),
            "per_s": round(len(ordered) / self.elapsed_s, 1),
            "p50_ms": round(ordered[len(ordered) // 2] * 1000, 3),
            "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 3),
        }


class Sender:
    """One connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Send a request and read its response: status and body."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        lowered = head.lower()
        at = lowered.find(b"content-length:")
        length = int(lowered[at + 15 : lowered.index(b"\r\n", at)]) if at >= 0 else 0
        return status, await self._reader.readexactly(length) if length else b""

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        await self._writer.wait_closed()


def encode(method: str, path: str, host: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """Build the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def drive(
    host: str, port: int, requests: list[bytes], expected: int, connections: int, seconds: float
) -> Run:
    """Send requests over some connections for a while, each connection one after another.

    Args:
        host: Address of the server.
        port: Its TCP port.
        requests: Sent in turn; shared by the connections, none is sent twice when there are enough.
        expected: Status that every response must have.
        connections: How many at once.
        seconds: For how long.

    Raises:
        RuntimeError: A response had another status.
    """
    run = Run()
    turn = iter(range(10**9))

    async def one() -> None:
        sender = Sender(*await asyncio.open_connection(host, port))
        while time.perf_counter() < end:
            request = requests[next(turn) % len(requests)]
            begun = time.perf_counter()
            status, body = await sender.exchange(request)
            run.latencies_s.append(time.perf_counter() - begun)
            if status != expected:
                raise RuntimeError(f"status {status}: {body.decode()}")
        await sender.close()

    started = time.perf_counter()
    end = started + seconds
    await asyncio.gather(*(one() for _ in range(connections)))
    run.elapsed_s = time.perf_counter() - started
    return run
