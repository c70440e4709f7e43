"""Runs one RoomMachine: sockets in, facts to the room's owner. One runner per room handle."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from portal_sdk._core import room as do
from portal_sdk._core.events import LossKind
from portal_sdk._core.room import RoomEffect, RoomMachine, RoomState
from portal_sdk._runtime.room_link import RoomLink, RoomOptions
from portal_sdk._runtime.threads import check_loop
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ChannelClosedError,
    ConnectionLostError,
    PortalClosedError,
    PortalError,
    StateError,
)
from portal_sdk.types import Row

logger = logging.getLogger("portal_sdk.rooms")
CLIENT_CLOSED = "The portal or client of this room is closed: open a new one, and a room in it"
ROOM_LEFT = "The room was left, which is final: make a new one and enter it"
ROOM_RESTING = "The portal is paused or signed out: the room is joined again after that"
Work = Callable[[], Coroutine[Any, Any, None]]


class TokenHolder(Protocol):
    """Where rooms get their token, and hear of newer ones."""

    @property
    def is_closed(self) -> bool:
        """Whether there will be no token ever again."""
        ...

    def access_token(self) -> str:
        """Return the newest token, or an empty text while there is none."""
        ...

    def add_room(self, room: RoomRunner) -> None:
        """Tell this room of every newer token from now on."""

    def drop_room(self, room: RoomRunner) -> None:
        """Forget the room."""

    def token_refused(self) -> None:
        """The server did not accept the newest token."""


class RoomOwner(Protocol):
    """Told what happens in the room; every method only enqueues."""

    def joined(self) -> None:
        """The channel is joined, for the first time or again."""

    def lost(self, error: PortalError) -> None:
        """The channel is not joined any more; it will be again."""

    def doubted(self) -> None:
        """Something may have been missed."""

    def presence(self, event: str, payload: Row) -> None:
        """A presence frame arrived."""

    def broadcast(self, event: str, payload: Row) -> None:
        """A broadcast arrived."""

    def change(self, payload: Row) -> None:
        """A database change arrived."""

    def ended(self) -> None:
        """The room is closed, by its user or together with the portal; may come twice."""


class RoomRunner:
    """Owns the machine, the present link and their tasks."""

    def __init__(
        self, url: str, api_key: str, config: PortalConfig, options: RoomOptions,
        tokens: TokenHolder, owner: RoomOwner,
    ) -> None:  # fmt: skip
        self._url = url
        self._api_key = api_key
        self._config = config
        self._options = options
        self._tokens = tokens
        self._owner = owner
        self._machine = RoomMachine(config, random.random)
        self._link: RoomLink | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._performers: dict[type, Callable[[Any], None]] = {
            do.OpenRoom: self._open,
            do.DropRoom: self._drop,
            do.BeatRoom: self._beat,
            do.SendTrack: self._send_track,
            do.ReportJoined: lambda _effect: self._owner.joined(),
            do.ReportLost: lambda effect: self._owner.lost(effect.error),
        }

    @property
    def is_joined(self) -> bool:
        """Return whether the channel is joined now."""
        return self._machine.state is RoomState.JOINED

    @property
    def last_error(self) -> PortalError | None:
        """Why it is not joined."""
        return self._machine.last_error

    def start(self) -> None:
        """Begin as soon as there is a token.

        Raises:
            PortalClosedError: The portal or client is closed (ROOM-5); nothing was opened.
        """
        if self._tokens.is_closed:
            self._end()
            raise PortalClosedError(CLIENT_CLOSED)
        self._tokens.add_room(self)
        if self._tokens.access_token():
            self._perform(self._machine.open(self._now()))

    def token_changed(self) -> None:
        """There is a first or a fresh token (ROOM-3)."""
        link = self._link
        if link is not None and self.is_joined:
            token = self._tokens.access_token()
            self._run(partial(link.push_token, token), "token", self._machine.generation)
        else:
            self._perform(self._machine.open(self._now()))

    def rest(self) -> None:
        """Close the socket until ``token_changed``."""
        self._perform(self._machine.rest())

    def track(self, meta: Row | None) -> None:
        """Say this about ourselves, now and after every rejoin."""
        self._perform(self._machine.track(meta, self._now()))

    def check_usable(self) -> None:
        """Refuse what can have no effect any more.

        Raises:
            StateError: Another thread or event loop, or the room was left.
            PortalClosedError: The portal or client is closed.
        """
        check_loop(self._loop)
        if self._tokens.is_closed:
            raise PortalClosedError(CLIENT_CLOSED)
        if self._machine.state is RoomState.CLOSED:
            raise StateError(ROOM_LEFT)

    async def send(self, event: str, payload: Row) -> None:
        """Send a frame without an answer.

        Raises:
            ChannelClosedError: Not joined now.
            ConnectionLostError: The socket broke.
        """
        await self._carry(self._joined_link().send(event, payload))

    async def ask(self, event: str, payload: Row) -> Row:
        """Send a frame and return the answer.

        Raises:
            ChannelClosedError: Not joined now.
            ConnectionLostError: The socket broke; the effect is unknown.
        """
        answer: Row = await self._carry(self._joined_link().ask(event, payload))
        return answer

    async def close(self) -> None:
        """Leave the room; bounded by ``close_timeout_s``."""
        self._end()
        if self._timer is not None:
            self._timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            if not task.get_name().startswith("portal-room-close"):
                task.cancel()
        if tasks:
            _done, late = await asyncio.wait(tasks, timeout=self._config.close_timeout_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    # RoomListener.

    def room_joined(self, generation: int) -> None:
        """Tell the machine."""
        self._perform(self._machine.joined(generation, self._now()))

    def room_lost(self, generation: int, kind: LossKind, error: PortalError) -> None:
        """Tell the machine; a token complaint also goes to the token's owner."""
        if kind is LossKind.TOKEN and generation == self._machine.generation:
            self._tokens.token_refused()
        self._perform(self._machine.lost(generation, kind, error, self._now()))

    def room_beaten(self, generation: int) -> None:
        """Tell the machine."""
        self._perform(self._machine.beaten(generation, self._now()))

    def room_doubted(self, generation: int) -> None:
        """Tell the owner."""
        if generation == self._machine.generation:
            self._owner.doubted()

    def room_presence(self, event: str, payload: Row) -> None:
        """Tell the owner."""
        self._owner.presence(event, payload)

    def room_broadcast(self, event: str, payload: Row) -> None:
        """Tell the owner."""
        self._owner.broadcast(event, payload)

    def room_change(self, payload: Row) -> None:
        """Tell the owner."""
        self._owner.change(payload)

    # Effects.

    def _perform(self, effects: list[RoomEffect]) -> None:
        for effect in effects:
            self._performers[type(effect)](effect)
        self._set_timer()

    def _open(self, effect: do.OpenRoom) -> None:
        token = self._tokens.access_token()
        self._link = RoomLink(
            self._url, self._api_key, self._config, effect.generation, token, self._options, self
        )
        self._run(self._link.open, "open", effect.generation)

    def _drop(self, effect: do.DropRoom) -> None:
        link, self._link = self._link, None
        if link is not None:
            self._run(link.close, "close", effect.generation)

    def _beat(self, effect: do.BeatRoom) -> None:
        if self._link is not None:
            self._run(self._link.beat, "heartbeat", effect.generation)

    def _send_track(self, effect: do.SendTrack) -> None:
        if self._link is None:
            return
        event = "untrack" if effect.meta is None else "track"
        payload: Row = {"type": "presence", "event": event}
        if effect.meta is not None:
            payload["payload"] = effect.meta
        self._run(partial(self._link.send, "presence", payload), "track", effect.generation)

    # Private.

    def _end(self) -> None:
        self._tokens.drop_room(self)
        self._perform(self._machine.close())
        self._owner.ended()

    def _joined_link(self) -> RoomLink:
        link = self._link
        if link is None or not self.is_joined:
            room = self._options.topic.rpartition(":")[2]
            raise ChannelClosedError(self._why_not_joined(), room=room) from self.last_error
        return link

    def _why_not_joined(self) -> str:
        if self._tokens.is_closed:
            return CLIENT_CLOSED
        match self._machine.state:
            case RoomState.CLOSED:
                return ROOM_LEFT
            case RoomState.IDLE:
                return ROOM_RESTING
            case _:
                return "The room is not joined now; it is joined again by itself"

    async def _carry(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await work
        except PortalError:
            raise
        except Exception as error:
            raise ConnectionLostError("The room's connection was lost") from error

    def _run(self, work: Work, name: str, generation: int) -> None:
        task = asyncio.create_task(self._guard(work, generation), name=f"portal-room-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Work, generation: int) -> None:
        try:
            await work()  # made here: a task that is cancelled at once leaves nothing behind
        except Exception as error:
            logger.debug("Unexpected error in a room", exc_info=error)
            lost = ConnectionLostError(f"Unexpected {type(error).__name__} in a room")
            self.room_lost(generation, LossKind.NETWORK, lost)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._machine.next_deadline()
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._perform(self._machine.handle_timer(self._now()))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
