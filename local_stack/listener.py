"""The HTTP and WebSocket listener of the stack: uvicorn, without its signal handling."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from typing import TYPE_CHECKING

import uvicorn

from local_stack.errors import HostUnusableError, PortForbiddenError, PortTakenError, StackError
from local_stack.http_guard import GuardedHttpProtocol
from local_stack.journal import SecretsFilter
from local_stack.ports import LOOPBACK, family_of, next_free_port
from local_stack.realtime.keepalive import RealtimeWebSocketProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local_stack.faults import AsgiApp

MAX_FRAME_BYTES = 5_000_000
GRACE_S = 1
# Longer than clients keep a connection that waits (the SDK 60 s): who closes first can be met by a
# request that is on its way, and such a POST must not be sent again by itself.
KEEP_ALIVE_S = 75
BACKLOG = 2_048
START_TIMEOUT_S = 10
UVICORN_LOGGERS = ("uvicorn.error", "uvicorn.asgi")  # the second one tells whole scopes, at TRACE


class _Server(uvicorn.Server):
    """Leaves signals to the program that runs the stack."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind_port(port: int, *, strict: bool, host: str = LOOPBACK) -> socket.socket:
    """Take a port now and serve on it later.

    The socket listens from now on, because a port that is only bound is not taken: another
    socket may be bound to it too. Connections wait until they are served.

    Args:
        port: 0 for a free one.
        strict: A taken port is an error; False takes the next free one.
        host: Address of this machine.

    Raises:
        PortTakenError: The port is taken.
        PortForbiddenError: The port is not for this user.
        HostUnusableError: The address is none of this machine.
    """
    try:
        # asyncio turns Nagle's algorithm off only on sockets that name TCP; with it, each answer
        # waits 40 ms for an ACK.
        made = socket.socket(family_of(host), socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        raise HostUnusableError(host) from error
    wanted = port
    try:
        wanted = port if strict or port == 0 else next_free_port(port, host=host)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, wanted))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise HostUnusableError(host) from error
        if error.errno == errno.EACCES:
            raise PortForbiddenError(wanted) from error
        raise PortTakenError(wanted, "the API") from error
    except BaseException:
        made.close()
        raise
    return made


class Listener:
    """Serves one ASGI application on a bound socket; owns the socket and the serving task."""

    def __init__(self, app: AsgiApp, bound: socket.socket) -> None:
        self._socket = bound
        self._server = _Server(
            uvicorn.Config(
                app,
                http=GuardedHttpProtocol,
                ws=RealtimeWebSocketProtocol,
                ws_max_size=MAX_FRAME_BYTES,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._task: asyncio.Task[None] | None = None
        self._secrets_filter = SecretsFilter()

    async def start(self) -> None:
        """Serve; returns once connections are accepted.

        Raises:
            StackError: The listener ended while starting.
        """
        for name in UVICORN_LOGGERS:
            logging.getLogger(name).addFilter(self._secrets_filter)
        serving = self._server.serve(sockets=[self._socket])
        self._task = asyncio.create_task(serving, name="stack-listener")
        async with asyncio.timeout(START_TIMEOUT_S):
            while not self._server.started:
                if self._task.done():
                    raise StackError("The API listener ended while starting.") from (
                        self._task.exception()
                    )
                await asyncio.sleep(0.005)

    async def wait_ended(self) -> None:
        """Wait until the listener ends by itself.

        Raises:
            StackError: It ended.
        """
        if self._task is None:
            raise StackError("The API listener was not started.")
        await asyncio.wait([self._task])
        failed = not self._task.cancelled() and self._task.exception() is not None
        cause = self._task.exception() if failed else None
        raise StackError("The API listener ended by itself. Start the stack again.") from cause

    async def stop(self) -> None:
        """Close every connection and stop; bounded by `GRACE_S` plus a moment."""
        self._server.should_exit = True
        if self._task is not None:
            # What ended it early has been reported by `wait_ended`.
            await asyncio.gather(self._task, return_exceptions=True)
        self._socket.close()
        for name in UVICORN_LOGGERS:
            logging.getLogger(name).removeFilter(self._secrets_filter)
