"""Rooms: presence and broadcast on private channels. Not durable, at most once, and quick."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, overload

from pydantic import BaseModel, ValidationError

from portal_sdk._arguments import check_model, check_object
from portal_sdk._core.presence import Member, PresenceChange, PresenceRoster
from portal_sdk._runtime.delivery import Stream, Subscribers
from portal_sdk._runtime.room import RoomRunner
from portal_sdk._runtime.room_hub import RoomHub
from portal_sdk._runtime.room_link import RoomOptions
from portal_sdk.errors import (
    BroadcastRefusedError,
    BroadcastTimeoutError,
    ChannelError,
    ConfigurationError,
    JoinRejectedError,
    PortalClosedError,
    PortalError,
    StateError,
)
from portal_sdk.types import Row
from portal_sdk.typing_indicator import TYPING_EVENT, TypingIndicator

logger = logging.getLogger("portal_sdk.rooms")
ROOM_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,64}")

ModelT = TypeVar("ModelT", bound=BaseModel)
PayloadT_co = TypeVar("PayloadT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Broadcast(Generic[PayloadT_co]):
    """One message of a broadcast room.

    Attributes:
        event: The name it was sent under.
        payload: A dict, or the pydantic model given to ``events``.
    """

    event: str
    payload: PayloadT_co


class _Room:
    """What presence and broadcast have in common: joining, and joining again."""

    def __init__(self, hub: RoomHub, options: RoomOptions, name: str) -> None:
        self._hub = hub
        self._name = name
        self._runner: RoomRunner = hub.create(options, self)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_ready = asyncio.Event()
        self._is_entered = self._is_ended = False
        self._refusal: PortalError | None = None

    @property
    def name(self) -> str:
        """Name of the room."""
        return self._name

    @property
    def is_joined(self) -> bool:
        """Whether the room is joined now; False while it is being joined again."""
        return self._runner.is_joined

    async def __aenter__(self) -> Self:
        if self._is_entered:
            raise StateError("A room is entered once; make a new one")
        if self._is_ended:
            raise PortalClosedError("The room was closed; make a new one")
        self._is_entered = True
        self._runner.start()
        try:
            async with asyncio.timeout(self._hub.config.join_timeout_s):
                await self._is_ready.wait()
        except TimeoutError:
            await self.close()
            cause = self._runner.last_error
            raise ChannelError(
                f"The room {self._name} could not be joined in time: {cause or 'no answer'}",
                room=self._name,
            ) from cause
        except BaseException:
            await self.close()
            raise
        if self._refusal is not None:
            refusal = self._refusal
            await self.close()
            raise refusal
        if self._is_ended:  # after the join, and before whoever enters could go on
            raise PortalClosedError("Closed while the room was entered")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the room; streams end. Calling it twice is harmless."""
        await self._runner.close()

    # Told by the runner.

    def joined(self) -> None:
        """The room is joined."""
        self._is_ready.set()

    def lost(self, error: PortalError) -> None:
        """The room is not joined now."""
        if isinstance(error, JoinRejectedError) and not self._is_ready.is_set():
            self._refusal = error
            self._is_ready.set()

    def doubted(self) -> None:
        """Something was missed; nothing here is durable anyway."""

    def presence(self, event: str, payload: Row) -> None:
        """Not for this room."""

    def broadcast(self, event: str, payload: Row) -> None:
        """Not for this room."""

    def change(self, payload: Row) -> None:
        """Not for this room."""

    def ended(self) -> None:
        """Nobody waits for the room any longer."""
        self._is_ended = True
        if not self._is_ready.is_set():
            self._refusal = PortalClosedError("Closed before the room was joined")
            self._is_ready.set()


class PresenceRoom(_Room):
    """Who is in a room now. Made by ``portal.presence``; use it as an async context manager.

    The own entry is repeated after every reconnection, within the server's limit of five calls in
    30 seconds. While the connection is away ``is_joined`` is False and the members are as last
    seen; after it is back, whoever left meanwhile is reported as ``left``.
    """

    def __init__(self, hub: RoomHub, topic: str, name: str, key: str, meta: Row | None) -> None:
        super().__init__(hub, RoomOptions(topic=topic, presence_key=key), name)
        self._roster = PresenceRoster()
        self._key = key
        self._runner.track(None if meta is None else check_object(meta, "meta"))
        self._changes: Subscribers[PresenceChange] = Subscribers(
            hub.config.queue_capacity, self._tasks
        )

    @property
    def key(self) -> str:
        """The key of our own entry."""
        return self._key

    @property
    def members(self) -> dict[str, Member]:
        """Everyone in the room by key; a copy. Our own entry follows the entry into the room."""
        return self._roster.members

    def changes(self) -> Stream[PresenceChange]:
        """Return an async iterator over everyone who comes, changes and goes from now on."""
        return self._changes.stream()

    def update(self, meta: Row | None) -> None:
        """Say something else about ourselves; None leaves the list without leaving the room.

        Only the newest word counts: calls within the server's limit are sent at once, later ones
        as soon as it allows.

        Raises:
            ConfigurationError: Not an object of JSON values.
            StateError: The room was not entered yet, or was left, or the portal is closed.
        """
        checked = None if meta is None else check_object(meta, "meta")
        self._runner.check_usable()
        if not self._is_entered:
            raise StateError("Enter the room first: async with portal.presence(...) as room")
        self._runner.track(checked)

    def ended(self) -> None:
        """End the streams."""
        super().ended()
        self._changes.close()

    def joined(self) -> None:
        """Wait for the state, which follows the join."""

    def presence(self, event: str, payload: Row) -> None:
        """Merge a presence frame."""
        if event == "presence_state":
            changes = self._roster.take_state(payload)
            self._is_ready.set()
        else:
            changes = self._roster.take_diff(payload)
        for change in changes:
            self._changes.push(change)


class BroadcastRoom(_Room):
    """Quick messages between the devices in a room. Made by ``portal.broadcast``.

    At most once and not stored: what must not be lost belongs into a table.
    """

    def __init__(
        self, hub: RoomHub, topic: str, name: str, key: str, *, hears_self: bool = False
    ) -> None:
        options = RoomOptions(topic=topic, sends_ack=True, hears_self=hears_self)
        super().__init__(hub, options, name)
        self._key = key
        self._hears_self = hears_self
        self._streams: list[_TypedStreams] = []
        self._typing: TypingIndicator | None = None

    async def send(
        self, event: str, payload: Row | BaseModel | None = None, *, timeout_s: float = 5.0
    ) -> None:
        """Send a message to everyone else in the room, and wait for the server's receipt.

        Args:
            event: Name of the message.
            payload: A JSON object or a pydantic model; None is an empty object.
            timeout_s: Seconds to wait for the receipt.

        Raises:
            ConfigurationError: The payload is not a JSON object.
            StateError: The room was never entered.
            ChannelClosedError: The room is not joined at this moment, or was left, or its portal
                is closed; nothing was sent.
            BroadcastRefusedError: The server did not take it, for example because of its size.
            BroadcastTimeoutError: No receipt in time; it may have been delivered.
            ConnectionLostError: The socket broke; it may have been delivered.

        Cancellation:
            Safe; the message may have been delivered.
        """
        if not isinstance(event, str) or not event:  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
            raise ConfigurationError("event must be a text that is not empty")
        if not self._is_entered:
            raise StateError("Enter the room first: async with portal.broadcast(...) as channel")
        body = payload.model_dump(mode="json") if isinstance(payload, BaseModel) else payload
        checked = {} if body is None else check_object(body, "payload")
        frame = {"type": "broadcast", "event": event, "payload": checked}
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self._runner.ask("broadcast", frame)
        except TimeoutError:
            raise BroadcastTimeoutError(
                f"No receipt for {event} within {timeout_s:g} s; it may have been delivered",
                room=self._name,
            ) from None
        if answer.get("status") != "ok":
            reason = str(answer.get("response") or "no reason given")
            raise BroadcastRefusedError(
                f"The server refused {event}: {reason}", room=self._name, reason=reason
            )

    @overload
    def events(self, event: str | None = None) -> Stream[Broadcast[Row]]: ...
    @overload
    def events(self, event: str | None, model: type[ModelT]) -> Stream[Broadcast[ModelT]]: ...
    def events(
        self, event: str | None = None, model: type[BaseModel] | None = None
    ) -> Stream[Broadcast[Any]]:
        """Return an async iterator over the messages from now on.

        Args:
            event: Only messages of this name; None gives all.
            model: Pydantic model of the payloads; a payload that does not fit is skipped and
                counted in the log, because any member of the room may send anything.

        Raises:
            ConfigurationError: The model is none.
        """
        if model is not None:
            check_model(model)
        subscribers: Subscribers[Broadcast[Any]] = Subscribers(
            self._hub.config.queue_capacity, self._tasks
        )
        if self._is_ended:
            subscribers.close()
        self._streams.append(_TypedStreams(event, model, subscribers))
        return subscribers.stream()

    def typing(self) -> TypingIndicator:
        """Return the room's typing indicator; always the same one."""
        if self._typing is None:
            self._typing = TypingIndicator(self.send, self._key, hears_self=self._hears_self)
        return self._typing

    def ended(self) -> None:
        """End the streams and the typing indicator."""
        super().ended()
        for typed in self._streams:
            typed.subscribers.close()
        if self._typing is not None:
            self._typing.close()

    def broadcast(self, event: str, payload: Row) -> None:
        """Hand a message to the streams that want it."""
        self._streams = [typed for typed in self._streams if typed.subscribers]
        if self._typing is not None and event == TYPING_EVENT:
            self._typing.take(payload)
        for typed in self._streams:
            typed.take(event, payload)


@dataclass(frozen=True, slots=True)
class _TypedStreams:
    event: str | None
    model: type[BaseModel] | None
    subscribers: Subscribers[Broadcast[Any]]

    def take(self, event: str, payload: Row) -> None:
        if self.event is not None and event != self.event:
            return
        value: Any = payload
        if self.model is not None:
            try:
                value = self.model.model_validate(payload)
            except ValidationError:
                logger.warning("A broadcast did not fit %s; skipped", self.model.__name__)
                return
        self.subscribers.push(Broadcast(event, value))


def check_room_name(name: object) -> str:
    """Return the room name.

    Raises:
        ConfigurationError: Not 1 to 64 letters, digits, dots, dashes or underscores.
    """
    if not isinstance(name, str) or not ROOM_NAME.fullmatch(name):
        raise ConfigurationError(
            "A room name has 1 to 64 letters, digits, dots, dashes or underscores"
        )
    return name


__all__ = [
    "Broadcast",
    "BroadcastRoom",
    "Member",
    "PresenceChange",
    "PresenceRoom",
    "TypingIndicator",
    "check_room_name",
]
