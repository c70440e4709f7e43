"""RoomMachine: keeps one extra channel joined, on a socket of its own.

Pure: it is told facts and the time, and answers with orders. Used for presence, broadcast and plain
database changes; the doorbell has a machine of its own. Rules (ROOM-n): docs/protocol/presence.md.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from portal_sdk._core.backoff import Backoff
from portal_sdk._core.events import LossKind
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ConnectionLostError,
    HeartbeatTimeoutError,
    JoinTimeoutError,
    PortalError,
)
from portal_sdk.types import Row

TRACK_LIMIT = 4
TRACK_WINDOW_S = 31.0
DENIED_WAIT_S = 30.0


class RoomState(enum.StrEnum):
    """What the machine is doing about its channel."""

    IDLE = "idle"
    OPENING = "opening"
    JOINED = "joined"
    WAITING = "waiting"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class OpenRoom:
    """Open a new socket as this generation, and join."""

    generation: int


@dataclass(frozen=True, slots=True)
class DropRoom:
    """Throw this generation's socket away."""

    generation: int


@dataclass(frozen=True, slots=True)
class BeatRoom:
    """Ask this generation's socket for a sign of life."""

    generation: int


@dataclass(frozen=True, slots=True)
class SendTrack:
    """Tell the room about ourselves; None takes us out of it."""

    generation: int
    meta: Row | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReportJoined:
    """Tell the owner that the channel is joined."""


@dataclass(frozen=True, slots=True)
class ReportLost:
    """Tell the owner that the channel is not joined any more, and why."""

    error: PortalError


RoomEffect = OpenRoom | DropRoom | BeatRoom | SendTrack | ReportJoined | ReportLost


class RoomMachine:
    """One channel and its socket.

    Attributes:
        state: See RoomState.
        generation: Number of the newest socket.
        last_error: Why it is not joined, or None.
    """

    def __init__(self, config: PortalConfig, draw: Callable[[], float]) -> None:
        self.state = RoomState.IDLE
        self.generation = 0
        self.last_error: PortalError | None = None
        self._config = config
        self._draw = draw
        self._backoff = Backoff(config.backoff_base_s, config.backoff_cap_s)
        self._at: float | None = None  # join deadline, retry, or next heartbeat
        self._beat_by: float | None = None
        self._stable_at: float | None = None
        self._meta: Row | None = None
        self._is_tracked = False
        self._must_track = False
        self._tracks: deque[float] = deque()
        self._effects: list[RoomEffect] = []

    def open(self, now: float) -> list[RoomEffect]:
        """Start, or start over: with a first or a fresh token."""
        if self.state in {RoomState.IDLE, RoomState.WAITING}:
            self._open(now)
        return self._take_effects()

    def rest(self) -> list[RoomEffect]:
        """Close the socket until ``open`` is called: the portal is paused or signed out."""
        if self.state in {RoomState.OPENING, RoomState.JOINED}:
            self._effects.append(DropRoom(self.generation))
        if self.state is RoomState.JOINED:
            self._effects.append(ReportLost(ConnectionLostError("The portal is paused")))
        if self.state is not RoomState.CLOSED:
            self.state = RoomState.IDLE
            self._is_tracked = False
        self._at = self._beat_by = self._stable_at = None
        return self._take_effects()

    def joined(self, generation: int, now: float) -> list[RoomEffect]:
        """The server accepted the join of this generation."""
        if self._is_present(generation) and self.state is RoomState.OPENING:
            self.state = RoomState.JOINED
            self.last_error = None
            self._at = now + self._config.heartbeat_interval_s
            self._stable_at = now + self._config.stable_after_s
            self._effects.append(ReportJoined())
            # PRES-2: the server forgot us with the old join.
            self._must_track = self._meta is not None
            self._track_if_due(now)
        return self._take_effects()

    def lost(
        self, generation: int, kind: LossKind, error: PortalError, now: float
    ) -> list[RoomEffect]:
        """This generation's socket or channel ended."""
        if self._is_present(generation):
            self._lose(kind, error, now)
        return self._take_effects()

    def beaten(self, generation: int, now: float) -> list[RoomEffect]:
        """The heartbeat was answered."""
        if self._is_present(generation) and self._beat_by is not None:
            self._beat_by = None
            self._at = now + self._config.heartbeat_interval_s
        return self._take_effects()

    def track(self, meta: Row | None, now: float) -> list[RoomEffect]:
        """PRES-2: say this about ourselves from now on, in this join and in every later one."""
        self._meta = meta
        self._must_track = meta is not None or self._is_tracked
        self._track_if_due(now)
        return self._take_effects()

    def close(self) -> list[RoomEffect]:
        """Leave for good."""
        if self.state in {RoomState.OPENING, RoomState.JOINED}:
            self._effects.append(DropRoom(self.generation))
        self.state = RoomState.CLOSED
        self._at = self._beat_by = self._stable_at = None
        return self._take_effects()

    def next_deadline(self) -> float | None:
        """Return when ``handle_timer`` wants to be called, or None."""
        deadlines = [self._at, self._beat_by, self._stable_at]
        if self._must_track and self.state is RoomState.JOINED and self._tracks:
            deadlines.append(self._tracks[0] + TRACK_WINDOW_S)
        return min((at for at in deadlines if at is not None), default=None)

    def handle_timer(self, now: float) -> list[RoomEffect]:
        """Act on every deadline that has passed."""
        if self._stable_at is not None and now >= self._stable_at:
            self._stable_at = None
            self._backoff.reset()
        if self._beat_by is not None and now >= self._beat_by:
            error = HeartbeatTimeoutError("The server stopped answering in a room")
            self._lose(LossKind.NETWORK, error, now)
        elif self._at is not None and now >= self._at:
            self._at = None
            self._act(now)
        self._track_if_due(now)
        return self._take_effects()

    def _act(self, now: float) -> None:
        match self.state:
            case RoomState.WAITING:
                self._open(now)
            case RoomState.OPENING:
                error = JoinTimeoutError("The join of a room was not answered")
                self._lose(LossKind.NETWORK, error, now)
            case RoomState.JOINED:
                self._beat_by = now + self._config.heartbeat_timeout_s
                self._effects.append(BeatRoom(self.generation))
            case _:
                pass

    def _open(self, now: float) -> None:
        self.generation += 1
        self.state = RoomState.OPENING
        self._at = now + self._config.join_timeout_s
        self._effects.append(OpenRoom(self.generation))

    def _lose(self, kind: LossKind, error: PortalError, now: float) -> None:
        self.state = RoomState.WAITING
        self.last_error = error
        self._beat_by = self._stable_at = None
        self._is_tracked = False
        delay_s = self._backoff.next_delay_s(self._draw())
        if kind is LossKind.RATE_LIMITED:
            delay_s += self._config.rate_limit_wait_s
        elif kind is LossKind.DENIED:
            delay_s += DENIED_WAIT_S
        self._at = now + delay_s
        self._effects += [DropRoom(self.generation), ReportLost(error)]

    def _track_if_due(self, now: float) -> None:
        """PRES-2: five calls in 30 s end the channel; the newest word waits for its turn."""
        while self._tracks and now >= self._tracks[0] + TRACK_WINDOW_S:
            self._tracks.popleft()
        is_due = self._must_track and self.state is RoomState.JOINED
        if is_due and len(self._tracks) < TRACK_LIMIT:
            self._tracks.append(now)
            self._must_track = False
            self._is_tracked = self._meta is not None
            self._effects.append(SendTrack(self.generation, self._meta))

    def _is_present(self, generation: int) -> bool:
        is_open = self.state in {RoomState.OPENING, RoomState.JOINED}
        return is_open and generation == self.generation

    def _take_effects(self) -> list[RoomEffect]:
        effects, self._effects = self._effects, []
        return effects
