"""The servers in front of PostgreSQL: made, started, replaced when they die, stopped together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import asyncpg

from local_stack.auth.config import AuthConfig
from local_stack.auth.server import AuthServer
from local_stack.auth.tokens import TokenIssuer, TokenVerifier
from local_stack.errors import StackError
from local_stack.gateway import create_gateway
from local_stack.realtime.config import RealtimeConfig
from local_stack.realtime.server import RealtimeServer
from local_stack.rest.config import RestConfig
from local_stack.rest.server import RestServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from local_stack.faults import AsgiApp, Faults, Receive, Scope, Send
    from local_stack.keys import ProjectKeys

_log = logging.getLogger("local_stack.servers")

CHECK_PAUSE_S = 0.5
_START_FAILURES = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class _Server(Protocol):
    @property
    def app(self) -> Any: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


S = TypeVar("S", bound=_Server)


class _Slot(Generic[S]):
    """The place of one server behind the gateway; the server in it may be replaced.

    A server may show its `background_tasks`: one of them that ends by itself means that the server
    does not work any more, whatever it still answers.
    """

    def __init__(self, name: str, make: Callable[[], S]) -> None:
        self.name = name
        self._make = make
        self._background: tuple[asyncio.Task[None], ...] = ()
        self.server: S | None = None

    @property
    def app(self) -> AsgiApp:
        """The application of the server, or one that says that there is none right now."""
        app: AsgiApp = _unavailable if self.server is None else self.server.app
        return app

    async def start(self) -> None:
        """Make a server and start it.

        Raises:
            StackError: It could not start; there is none.
        """
        server = self._make()
        try:
            await server.start()
        except BaseException as error:
            await server.stop()
            if isinstance(error, _START_FAILURES):
                text = f"The {self.name} server could not start: {error}"
                raise StackError(text) from error
            raise
        self._background = tuple(getattr(server, "background_tasks", ()))
        self.server = server

    async def stop(self) -> None:
        """Stop the server; requests are answered with 503 from now on."""
        server, self.server = self.server, None
        self._background = ()
        if server is not None:
            await server.stop()

    def dead_tasks(self) -> list[str]:
        """Name the background tasks that have ended, with what ended them."""
        return [_obituary(task) for task in self._background if task.done()]


class _AuthSlot(_Slot[AuthServer]):
    """The slot of the auth server, which also tells whether the database answers."""

    def __init__(self, keys: ProjectKeys, make: Callable[[], AuthServer]) -> None:
        super().__init__("Auth", make)
        self.keys = keys

    async def is_ready(self) -> bool:
        """Tell whether requests can be served."""
        return self.server is not None and await self.server.is_ready()


class Servers:
    """Auth, REST and Realtime behind one gateway application.

    Args:
        keys: Keys of the folder.
        api_url: Public address of the gateway.
        dsn_of: Database URL for a login role.
        faults: Switches that the servers read.
    """

    def __init__(
        self, *, keys: ProjectKeys, api_url: str, dsn_of: Callable[[str], str], faults: Faults
    ) -> None:
        verifier = TokenVerifier(keys)
        auth_config = AuthConfig(issuer=f"{api_url}/auth/v1")
        tokens = TokenIssuer(keys)
        self._auth = _AuthSlot(
            keys,
            lambda: AuthServer(auth_config, keys, verifier, tokens, dsn_of("supabase_auth_admin")),
        )
        self._rest = _Slot(
            "REST", lambda: RestServer(RestConfig(), verifier, dsn_of("authenticator"))
        )
        self._realtime = _Slot(
            "Realtime",
            lambda: RealtimeServer(RealtimeConfig(), verifier, dsn_of("supabase_admin"), faults),
        )
        self._slots: tuple[_Slot[Any], ...] = (self._auth, self._rest, self._realtime)
        self._changing = asyncio.Lock()
        self.app: AsgiApp = create_gateway(
            self._rest, self._auth, self._realtime, ready=self._is_ready
        )

    async def _is_ready(self) -> bool:
        running = all(slot.server is not None for slot in self._slots)
        return running and await self._auth.is_ready()

    async def start(self) -> None:
        """Start every server; one that fails stops the ones before it.

        Raises:
            StackError: A server could not start.
        """
        async with contextlib.AsyncExitStack() as starting:
            for slot in self._slots:
                await slot.start()
                starting.push_async_callback(slot.stop)
            starting.pop_all()

    async def stop(self) -> None:
        """Stop every server, the last one first."""
        async with contextlib.AsyncExitStack() as stopping:
            for slot in self._slots:
                stopping.push_async_callback(slot.stop)

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Run without servers for a while; new ones are started at the end.

        Raises:
            StackError: One could not start; `watch` tries again.
        """
        async with self._changing:
            await self.stop()
            try:
                yield
            finally:
                for slot in self._slots:
                    await slot.start()

    async def watch(self, on_trouble: Callable[[str | None], None]) -> None:
        """Replace servers that died, until cancelled.

        Args:
            on_trouble: Told one sentence when a server is dead, None when all work again.
        """
        while True:
            await asyncio.sleep(CHECK_PAUSE_S)
            async with self._changing:
                troubles = [text for slot in self._slots if (text := await _revive(slot))]
            if any(troubles):
                on_trouble(" ".join(troubles))
            else:
                on_trouble(None)

    def drop_sockets(self) -> None:
        """Cut every Realtime socket."""
        if self._realtime.server is not None:
            self._realtime.server.drop_sockets()


async def _revive(slot: _Slot[Any]) -> str | None:
    """Replace the server of a slot if it is dead; return why it still is, if so."""
    dead = slot.dead_tasks()
    if slot.server is not None and not dead:
        return None
    if dead:
        _log.error("The %s server lost a part: %s. It is replaced.", slot.name, "; ".join(dead))
    try:
        await slot.stop()
        await slot.start()
    except StackError as error:
        _log.warning("%s", error)
        return f"The {slot.name} server is down; trying again."
    _log.warning("A new %s server runs.", slot.name)
    return None


def _obituary(task: asyncio.Task[None]) -> str:
    if task.cancelled():
        return f"task {task.get_name()!r} was cancelled"
    error = task.exception()
    why = "ended" if error is None else f"failed with {type(error).__name__}"
    return f"task {task.get_name()!r} {why}"


async def _unavailable(scope: Scope, receive: Receive, send: Send) -> None:
    body = json.dumps({"message": "This server is being restarted. Try again in a moment."})
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()
        kind = "websocket.http.response"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1"),
    ]
    status = int(HTTPStatus.SERVICE_UNAVAILABLE)
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body.encode()})
