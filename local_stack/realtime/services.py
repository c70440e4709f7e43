"""What sockets and channels share, and the fault switches tests may set."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from local_stack.auth.tokens import TokenVerifier
    from local_stack.realtime.authorization import Authorizer
    from local_stack.realtime.changes.service import ChangesService
    from local_stack.realtime.config import RealtimeConfig
    from local_stack.realtime.limits import RateCounter
    from local_stack.realtime.presence import PresenceRooms
    from local_stack.realtime.replay import Replayer
    from local_stack.realtime.rooms import Rooms

log = logging.getLogger(__name__)


class RealtimeFaults(Protocol):
    """Switches that make the server misbehave on purpose; read at every use.

    Attributes:
        refuse_connects: HTTP status for every handshake; None accepts.
        refuse_joins: reason for every join; None accepts.
        reply_delay_s: wait before each client message is handled.
        hang: sockets stay open and answer WebSocket pings, but nothing else happens on them.
        lose_doorbells: broadcasts from the database are swallowed.
    """

    refuse_connects: int | None
    refuse_joins: str | None
    reply_delay_s: float
    hang: bool
    lose_doorbells: bool


@dataclass(slots=True)
class FaultSwitches:
    """The plain form of ``RealtimeFaults``: everything off."""

    refuse_connects: int | None = None
    refuse_joins: str | None = None
    reply_delay_s: float = 0.0
    hang: bool = False
    lose_doorbells: bool = False


class Tasks:
    """Owner of the background tasks of one server; none outlives ``close``."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, name: str, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task; a failure is logged, not raised."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("task %s failed", task.get_name(), exc_info=error)

    async def close(self) -> None:
        """Cancel every task and wait until all have ended."""
        while self._tasks:
            tasks = tuple(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class Counters:
    """Rates of the whole server."""

    events: RateCounter
    presence: RateCounter
    joins: RateCounter
    changes: RateCounter


@dataclass(slots=True)
class Services:
    """The parts of one server, as sockets and channels use them."""

    config: RealtimeConfig
    verifier: TokenVerifier
    faults: RealtimeFaults
    rooms: Rooms
    presence: PresenceRooms
    authorizer: Authorizer
    changes: ChangesService
    replayer: Replayer
    counters: Counters
    tasks: Tasks = field(default_factory=Tasks)
    is_stopping: bool = False
    joined_sockets: set[object] = field(default_factory=set)
