"""A model server and a bad network around PortalCore; time and chance come from the test."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.connection_table import LinkState
from portal_sdk._core.difference import Comparison, compare
from portal_sdk._core.feed import Head, PullPage, Snapshot
from portal_sdk._core.replica import Commit
from portal_sdk._core.session import PortalCore
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    ConnectError,
    NoCustomerError,
    PortalError,
    TokenRejectedError,
)
from portal_sdk.types import SyncState
from tests.spec.portal_sdk.model_server import USER, FakeStore, ModelServer


@dataclass(eq=False)
class Pending:
    """A request on its way; ``answer`` is set once the server has executed it."""

    effect: Any
    answer: Any = None
    is_executed: bool = False
    comparing: Generator[None, None, Comparison] | None = None


class World:
    """One portal, one server, and a network that the test drives."""

    def __init__(self, seed: int = 0) -> None:
        self.config = PortalConfig(pull_limit=3)
        self.random = random.Random(seed)
        self.server = ModelServer()
        self.store = FakeStore()
        self.now = 1000.0
        self.pending: list[Pending] = []
        self.rings: list[ev.DoorbellRang] = []
        self.open_generation: int | None = None
        self.opens: list[float] = []
        self.shadow: dict[tuple[str, str], Any] = {}
        self.published_n = 0
        self.published_count = 0
        self.loses_rings = False
        self.refuses_doorbell = False
        self.denied_kind: str | None = None
        self.open_kind = "broadcast"
        self.hearing: object = None
        self.must_show = (0, 0)
        self.start()

    # The portal's process.

    def start(self) -> None:
        """Start the portal's process, or start it again after it was killed."""
        self.core = PortalCore(self.config, self.random.random)
        self.pending, self.rings, self.open_generation = [], [], None
        self.opens = []  # a new process knows nothing of the old one's sockets
        self.shadow, self.is_primed = {}, False
        self.post(ev.Started())

    def post(self, event: ev.Event) -> None:
        self._perform(self.core.handle(event, self.now))
        self.check()

    def advance(self, seconds: float) -> None:
        """Let time pass, deadline by deadline."""
        end = self.now + seconds
        for _ in range(2_000):
            deadline = self.core.next_deadline()
            if deadline is None or deadline > end:
                self.now = end
                return
            self.now = max(self.now, deadline)
            self._perform(self.core.handle_timer(self.now))
            self.check()
        raise AssertionError("the machines spin on their deadlines")

    # Writes: each rings once, like the deferred trigger does.

    def write(self, change: Callable[[], None]) -> None:
        before = self.server.n
        change()
        generation = self.open_generation
        if self.server.n == before or generation is None or self.loses_rings:
            return
        if self.open_kind == "broadcast":
            self.rings.append(ev.DoorbellRang(generation, self.server.epoch, self.server.n))
            return
        self.rings += [
            ev.DoorbellRang(generation, None, entry.n, entry)
            for entry in self.server.log
            if entry.n > before
        ]

    # The network.

    def execute(self, index: int) -> None:
        """The request reaches the server."""
        item = self.pending[index]
        if not item.is_executed:
            item.is_executed = True
            item.answer = self._serve(item.effect)

    def deliver(self, index: int) -> None:
        """The answer reaches the portal; a snapshot is compared a little with the rows shown."""
        self.execute(index)
        item = self.pending[index]
        if isinstance(item.answer, Snapshot):
            self._compare_some(item)
            return
        self.pending.pop(index)
        self.post(self._event(item.effect, item.answer))

    def _compare_some(self, item: Pending) -> None:
        """Do one piece; other things happen before the next."""
        sync = self.core.sync
        if not sync.is_awaiting(item.effect.request):
            self.pending.remove(item)
            return
        if item.comparing is None:
            item.comparing = compare(
                sync.replica.tables, item.answer, is_reported=sync.is_primed, piece_rows=2
            )
        try:
            next(item.comparing)
        except StopIteration as end:
            self.pending.remove(item)
            self.post(ev.SnapshotAnswered(item.effect.request, item.answer, end.value))

    def lose(self, index: int) -> None:
        """The request, or its answer, is lost; the portal notices by its timeout."""
        item = self.pending.pop(index)
        self.post(self._event(item.effect, ConnectError("lost")))

    def ring(self, index: int, *, keep: bool = False) -> None:
        """Deliver a ring; ``keep`` delivers it once more later."""
        ring = self.rings[index] if keep else self.rings.pop(index)
        self.post(ring)

    def cut(self) -> None:
        """The socket dies and the portal is told."""
        generation, self.open_generation = self.open_generation, None
        if generation is not None:
            self.rings.clear()
            self.post(ev.DoorbellLost(generation, ev.LossKind.NETWORK, ConnectError("cut")))

    def expire_token(self) -> None:
        self.server.valid_token = None

    def settle(self) -> None:
        """Heal everything and let the portal run undisturbed for a while."""
        self.server.is_up = True
        self.loses_rings = self.refuses_doorbell = False
        end = self.now + 4 * self.config.verify_interval_s
        turns = 0
        while self.now < end:
            while self.pending or self.rings:
                turns += 1
                assert turns < 5_000, "the portal asks and asks"
                if self.rings:
                    self.ring(0)
                else:
                    self.deliver(0)
            deadline = self.core.next_deadline()
            self.advance(max(0.001, min(end if deadline is None else deadline, end) - self.now))

    # What must hold at every moment.

    def check(self) -> None:
        core = self.core
        self._note_hearing()
        rows = _flat(core.replica.tables)
        assert self.store.rows == rows or core.replica.epoch is None, "store and replica differ"
        if core.replica.epoch is not None:
            assert (self.store.epoch, self.store.n) == (core.replica.epoch, core.replica.n)
        assert self.shadow == rows, "subscribers saw something else than the tables"
        if core.state is SyncState.LIVE:
            assert core.doorbell != "none", "live without a doorbell"
            assert core.connection.is_verified, "live without an answer of the database"
            assert core.sync.is_caught_up
            assert self._position(core.replica.epoch, core.replica.n) >= self.must_show, (
                "live although nothing was read since the doorbell was joined, or polling began"
            )
        in_window = [at for at in self.opens if at > self.now - 5.0]
        assert len(in_window) <= 5, "connection storm"
        reads = [
            item
            for item in self.pending
            if isinstance(item.effect, do.RequestPull | do.RequestSnapshot)
            and core.sync.is_awaiting(item.effect.request)
        ]
        assert len(reads) <= 1, "more than one read in flight"
        is_moving = bool(self.pending) or core.next_deadline() is not None
        is_resting = core.connection.state in {
            LinkState.CLOSED,
            LinkState.PAUSED,
            LinkState.BLOCKED,
        }
        assert is_moving or is_resting, "nothing under way and no deadline: deaf"

    def _note_hearing(self) -> None:
        """Note where the server stood when the portal began to hear of changes (SYNC-1)."""
        link = self.core.connection
        is_joined = link.state is LinkState.JOINED
        hearing = link.generation if is_joined else "polling" if link.is_polling else None
        if hearing != self.hearing:
            self.hearing = hearing
            self.must_show = self._position(self.server.epoch, self.server.n)

    @staticmethod
    def _position(epoch: str | None, n: int) -> tuple[int, int]:
        return (-1 if epoch is None else int(epoch.split("-")[1]), n)

    def assert_equal(self) -> None:
        """The portal shows exactly what the server holds, and says so."""
        if not self.server.is_linked:
            assert _flat(self.core.replica.tables) == {}
            assert self.core.state is SyncState.NEEDS_AUTH
            return
        assert _flat(self.core.replica.tables) == _flat(self.server.rows)
        assert self.core.state is SyncState.LIVE, self.core.last_error

    # Effects.

    def _perform(self, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case do.CommitRows(commit):
                    self._commit(commit)
                case do.PurgeStore():
                    self.store = FakeStore()
                case do.PublishChanges():
                    self._publish(effect)
                case do.OpenStore():
                    self._open_store()
                case do.RecallRows():
                    self._recall_rows()
                case do.CloseDoorbell(generation):
                    self._close_doorbell(generation)
                case do.PushToken():
                    pass
                case _:
                    self.pending.append(Pending(effect))
            if isinstance(effect, do.OpenDoorbell):
                self.opens.append(self.now)

    def _commit(self, commit: Commit) -> None:
        self.store.commit(commit)
        if commit.everything is not None and not self.is_primed:
            # SYNC-8: the first snapshot is the starting point, not news.
            self.shadow, self.is_primed = dict(self.store.rows), True

    def _open_store(self) -> None:
        store = self.store
        self.shadow, self.is_primed = dict(store.rows), store.epoch is not None
        stored = store.opened()
        self._perform(self.core.handle(stored, self.now))

    def _recall_rows(self) -> None:
        store = self.store
        if store.epoch is None:
            return
        self.shadow, self.is_primed = dict(store.rows), True
        stored = store.opened()
        self._perform(self.core.handle(ev.RowsRecalled(USER, stored), self.now))

    def _close_doorbell(self, generation: int) -> None:
        if generation == self.open_generation:
            self.open_generation = None
            self.rings.clear()

    def _publish(self, effect: do.PublishChanges) -> None:
        for change in effect.changes:
            key = (change.table, change.row_id)
            self.published_count += 1
            assert self.shadow.get(key) == change.previous, "previous is not what was shown"
            if change.kind == "delete":
                assert self.shadow.pop(key) == change.row
            else:
                assert (change.kind == "insert") == (key not in self.shadow)
                assert self.shadow.get(key) != change.row, "a change that changes nothing"
                self.shadow[key] = change.row

    def _serve(self, effect: Any) -> Any:
        server = self.server
        if isinstance(effect, do.FetchToken):
            if not server.is_up:
                return ConnectError("down")
            server.token_serial += 1
            server.valid_token = f"token-{server.token_serial}"
            return server.valid_token
        if isinstance(effect, do.OpenDoorbell):
            if not server.is_up or self.refuses_doorbell:
                return (ev.LossKind.NETWORK, ConnectError("refused"))
            if self.core.token != server.valid_token:
                return (ev.LossKind.TOKEN, TokenRejectedError("expired"))
            if not server.is_linked:
                return (ev.LossKind.DENIED, ConnectError("denied"))
            if effect.kind == self.denied_kind:
                return (ev.LossKind.CHANNEL, ConnectError("not this kind of channel"))
            self.open_generation, self.open_kind = effect.generation, effect.kind
            return None
        if isinstance(effect, do.SendHeartbeat):
            return server.is_up and effect.generation == self.open_generation
        return server.answer(effect, self.core.token)

    def _event(self, effect: Any, answer: Any) -> Any:
        match effect:
            case do.FetchToken():
                if isinstance(answer, PortalError):
                    return ev.TokenFailed(answer)
                return ev.TokenAcquired(answer, USER, 3600.0)
            case do.OpenDoorbell(generation):
                if answer is None:
                    return ev.DoorbellJoined(generation)
                kind, error = answer if isinstance(answer, tuple) else (ev.LossKind.NETWORK, answer)
                return ev.DoorbellLost(generation, kind, error)
            case do.SendHeartbeat(generation):
                return ev.HeartbeatAnswered(generation if answer is True else -1)
            case do.ResolveScope(request):
                return _resolve_event(request, answer)
            case _:
                return _read_event(effect.request, answer)


def _resolve_event(request: int, answer: Any) -> Any:
    if isinstance(answer, str):
        return ev.ScopeResolved(request, answer)
    if isinstance(answer, NoCustomerError):
        return ev.ScopeMissing(request, answer)
    return ev.ScopeFailed(request, answer)


def _read_event(request: int, answer: Any) -> Any:
    match answer:
        case PullPage():
            return ev.PullAnswered(request, answer)
        case Head():
            return ev.HeadAnswered(request, answer)
        case _:
            return ev.RequestFailed(request, answer)


def _flat(tables: Any) -> dict[tuple[str, str], Any]:
    return {(t, row_id): row for t, rows in tables.items() for row_id, row in rows.items()}
