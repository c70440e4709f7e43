"""SyncMachine: keeps the replica equal to the customer's slice of the database.

Pure: it is told facts and the time, and answers with orders. It owns the replica, the cursor
(epoch, n), gap proof, resync, digest verification and the coalescing of rings.
The rules (SYNC-n) are in docs/protocol/sync.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.backoff import Backoff
from portal_sdk._core.checkpoint import Checkpoint
from portal_sdk._core.deadlines import earliest
from portal_sdk._core.difference import Differences, RowChange, compare_at_once
from portal_sdk._core.digest import TableSummary
from portal_sdk._core.feed import FeedChange, Forms, Tables
from portal_sdk._core.lag import Lag
from portal_sdk._core.promise import RingPromise
from portal_sdk._core.questions import Questions
from portal_sdk._core.replica import Commit, Replica
from portal_sdk._core.sync_table import SYNC_TABLE, FeedState, SyncEvent
from portal_sdk.config import PortalConfig
from portal_sdk.errors import PortalError, ProtocolError
from portal_sdk.types import ChangeSource

SyncEffect = (
    do.Effect | do.AskHead | do.AskPoll | do.CatchUp | do.RenewToken | do.ReportDeafDoorbell
)
FRUITLESS_LIMIT = 2


class SyncMachine:
    """The rows of one scope and what is being done to keep them right.

    Attributes:
        state: See FeedState.
        replica: The rows; readers may look, only this machine changes it.
        fresh_as_of: The database's clock when the replica was last known complete.
        last_error: What failed last; None once current again.
    """

    def __init__(self, scope: str, config: PortalConfig, draw: Callable[[], float]) -> None:
        self.scope = scope
        self.state = FeedState.STOPPED
        self.replica = Replica()
        self.fresh_as_of: str | None = None
        self.last_error: PortalError | None = None
        self.gap_count = 0
        self.resync_count = 0
        self._config = config
        self._draw = draw
        self._backoff = Backoff(config.backoff_base_s, config.backoff_cap_s)
        self._effects: list[SyncEffect] = []
        self._asked = Questions()
        self._head_asked_at_n = 0
        self._read_again = False
        self._is_start_pending = False
        self._source: ChangeSource = "catch_up"
        self._is_primed = False
        self._has_settled = False
        self._lag = Lag(config.lag_grace_s)
        self._retry_at: float | None = None
        self._deaf_at: float | None = None
        self._checkpoint = Checkpoint()
        self._fruitless_count = 0
        self._promise = RingPromise()
        self._actions: dict[str, Callable[[Any, float], None]] = {
            "ignore": lambda _event, _now: None,
            "begin": self._begin,
            "stop": self._stop,
            "read_again_later": self._read_again_later,
            "note_ring": self._note_ring,
            "pull_if_news": self._pull_if_news,
            "ask_head": self._ask_head,
            "note_head": self._note_head,
            "compare_head": self._compare_head,
            "take_snapshot": self._take_snapshot,
            "take_page": self._take_page,
            "fail": self._fail,
        }

    # Public.

    @property
    def is_caught_up(self) -> bool:
        """SYNC-15: everything known to exist was read, or is being read since a moment."""
        is_reading = self.state is FeedState.CURRENT or self.state is FeedState.PULLING
        return is_reading and self._has_settled and not self._lag.is_behind

    def load(
        self, epoch: str, n: int, tables: Tables, fresh_as_of: str | None = None,
        known: Mapping[str, TableSummary] | None = None, forms: Forms | None = None,
    ) -> list[SyncEffect]:  # fmt: skip
        """Start from stored rows; only before the first event. See ``Replica.load``."""
        self.replica.load(epoch, n, tables, known)
        self.replica.forms = forms or {}
        self.fresh_as_of = fresh_as_of
        if self._is_primed:  # SYNC-8: no starting point, but rows that were taken back
            self._publish(self.replica.all_inserted(), "resync")
        self._is_primed = True
        return self._take_effects()

    def handle(self, event: SyncEvent, now: float) -> list[SyncEffect]:
        """Take a fact in at time ``now`` (seconds, monotonic); return the orders."""
        if self._asked.is_outdated(event):
            return []
        rule = SYNC_TABLE[self.state][type(event)]
        self._actions[rule.action](event, now)
        return self._take_effects()

    def next_deadline(self) -> float | None:
        """Return when ``handle_timer`` wants to be called, or None."""
        return earliest(self._lag.at, self._retry_at, self._deaf_at, self._promise.look_at)

    def handle_timer(self, now: float) -> list[SyncEffect]:
        """Act on every deadline that has passed."""
        self._lag.check(now)
        if self._deaf_at is not None and now >= self._deaf_at:
            self._deaf_at = None
            self._effects.append(do.ReportDeafDoorbell())
        if self._retry_at is not None and now >= self._retry_at:
            self._begin(None, now)
        look_at = self._promise.look_at
        if look_at is not None and now >= look_at:
            self._send_pull("live", now)
        return self._take_effects()

    @property
    def is_primed(self) -> bool:
        """SYNC-8: there was a starting point, so what a snapshot changes is news."""
        return self._is_primed

    @property
    def head_request(self) -> int:
        """Number of the head request under way, or 0."""
        return self._asked.head

    def is_awaiting(self, request: int) -> bool:
        """Return whether the answer to this request would still count (SYNC-4)."""
        return self._asked.is_awaiting(request)

    def follow(self, previous: SyncMachine) -> None:
        """Take over from the machine of another scope; its late answers must not count here."""
        self._asked.last = previous._asked.last
        self._is_primed = previous._is_primed

    def take_back(self) -> list[SyncEffect]:
        """SYNC-18: the scope is not ours any more; nothing of it may be shown."""
        changes = self.replica.purge()
        self._stop(None, 0.0)
        self.fresh_as_of = None
        self._publish(changes, "resync")
        return self._take_effects()

    # Actions of the table.

    def _begin(self, _event: object, now: float) -> None:
        self._deaf_at = None
        self._has_settled = False  # SYNC-1: what came before the start was not heard
        if self.replica.epoch is None:
            self._send_snapshot()
        else:
            self._send_pull("catch_up", now)

    def _stop(self, _event: object, _now: float) -> None:
        self.state = FeedState.STOPPED
        self._asked.forget()
        self._read_again = self._is_start_pending = False
        self._has_settled = False
        self._retry_at = self._deaf_at = None
        self._lag.end()
        self._promise.forget()
        self._checkpoint.head = None

    def _read_again_later(self, _event: object, _now: float) -> None:
        self._is_start_pending = True
        self._has_settled = False  # SYNC-1

    def _note_ring(self, event: ev.Rang, now: float) -> None:
        self._deaf_at = None
        if self._is_news(event):
            # A position is a promise: it is read again only if the answer stays behind it.
            self._read_again |= not self._note_promise(event)
            self._lag.start(now)

    def _pull_if_news(self, event: ev.Rang, now: float) -> None:
        self._deaf_at = None
        if event.change is not None and self._can_apply(event.change):
            self._take_direct(event.change, now)
        elif self._is_news(event):
            self._note_promise(event)
            self._send_pull("live" if event.n is not None else "catch_up", now)

    def _can_apply(self, change: FeedChange) -> bool:
        """SYNC-20: only the very next entry, and only one that says what it did."""
        return change.n == self.replica.n + 1 and (change.is_remove or change.row is not None)

    def _take_direct(self, change: FeedChange, now: float) -> None:
        self._source = "live"
        _is_dense, is_equal = self._apply([change], None)
        if not is_equal:
            self._send_snapshot()
        elif self._promise.is_open(self.replica.n, now) and self._promise.look_at == now:
            self._send_pull("live", now)

    def _ask_head(self, _event: object, _now: float) -> None:
        self._head_asked_at_n = self.replica.n
        self._effects.append(do.RequestHead(self._asked.ask_head(), self.scope))

    def _note_head(self, event: ev.HeadAnswered, _now: float) -> None:
        # SYNC-10: compare when the pull under way reaches exactly this position.
        if event.head.epoch == self.replica.epoch and event.head.n > self.replica.n:
            self._checkpoint.head = event.head
            self._read_again = True

    def _compare_head(self, event: ev.HeadAnswered, now: float) -> None:
        head = event.head
        if head.epoch != self.replica.epoch or head.n < self._head_asked_at_n:
            self._send_pull("catch_up", now)  # SYNC-7: the answer will say must_resync
        elif head.n > self.replica.n:
            self._checkpoint.head = head
            self._deaf_at = now + self._config.ring_grace_s  # SYNC-13
            self._send_pull("catch_up", now)
        elif head.n == self.replica.n:
            if not self._checkpoint.agrees(head, self.replica):
                self._send_snapshot()
            else:
                self.fresh_as_of = head.now or self.fresh_as_of
                self.last_error = None

    def _take_snapshot(self, event: ev.SnapshotAnswered, now: float) -> None:
        snapshot = event.snapshot
        comparison = event.comparison or compare_at_once(
            self.replica.tables, snapshot, is_reported=self._is_primed
        )
        self.replica.take(snapshot.epoch, snapshot.n, comparison)
        self.replica.forms = snapshot.forms
        self._checkpoint.judge_snapshot(snapshot, self.replica)
        commit = self.replica.commit_of_snapshot(self.scope, snapshot.tables, snapshot.now)
        self._effects.append(do.CommitRows(commit))
        self._publish(comparison.changes, "resync")
        self._is_primed = True
        if self._note_complete(snapshot.now, now) or self._read_again:
            self._send_pull("catch_up", now)
        else:
            self.state = FeedState.CURRENT
            self._asked.rows = 0

    def _take_page(self, event: ev.PullAnswered, now: float) -> None:
        page = event.page
        is_same_epoch = page.epoch == self.replica.epoch
        if page.must_resync and page.reason == "ahead" and is_same_epoch:
            self._retry_gap(now)  # SYNC-20: the stream may tell of a commit before others see it
            return
        if page.must_resync or not is_same_epoch:
            self._send_snapshot()  # SYNC-7: never a partial answer
            return
        before_n = self.replica.n
        is_last = not page.changes or page.changes[-1].n >= page.n
        is_dense, is_equal = self._apply(page.changes, page.now if is_last else None)
        has_progress = self.replica.n > before_n
        self._fruitless_count = 0 if has_progress else self._fruitless_count
        if not is_dense or (self.replica.n < page.n and not has_progress):
            self._retry_gap(now)
        elif not is_equal or self.replica.n > page.n:
            self._send_snapshot()
        elif self.replica.n < page.n or self._note_complete(page.now, now) or self._read_again:
            self._send_pull(self._source, now)
        elif self._promise.look_at == now:
            self._send_pull("live", now)
        else:
            self.state = FeedState.CURRENT
            self._asked.rows = 0

    def _fail(self, event: ev.RequestFailed, now: float) -> None:
        self.last_error = event.error
        if event.request == self._asked.head:
            self._asked.head = 0
            return
        self._asked.rows = 0
        self.state = FeedState.WAITING
        delay_s = self._backoff.next_delay_s(self._draw())
        asked_s = getattr(event.error, "retry_after_s", None) or 0.0
        self._retry_at = now + max(delay_s, asked_s)

    # Steps.

    def _send_snapshot(self) -> None:
        self._enter(FeedState.SNAPSHOTTING)
        self.resync_count += self._is_primed
        self._has_settled = False
        self._effects.append(do.RequestSnapshot(self._asked.rows, self.scope))

    def _send_pull(self, source: ChangeSource, now: float) -> None:
        epoch = self.replica.epoch
        if epoch is None:
            self._send_snapshot()
            return
        self._enter(FeedState.PULLING)
        self._source = source
        self._lag.start(now)
        limit = self._config.pull_limit
        self._effects.append(
            do.RequestPull(self._asked.rows, self.scope, epoch, self.replica.n, limit)
        )

    def _enter(self, state: FeedState) -> None:
        self.state = state
        self._asked.ask_rows()
        self._read_again = self._is_start_pending = False
        self._retry_at = self._promise.look_at = None

    def _apply(self, changes: Iterable[FeedChange], as_of: str | None) -> tuple[bool, bool]:
        """Apply the dense run after the cursor; return (it was dense, the digest agreed).

        Args:
            changes: Entries in feed order.
            as_of: The database's clock, if these entries make the replica complete.
        """
        is_dense = is_equal = True
        real: list[RowChange] = []
        touched: dict[tuple[str, str], None] = {}
        before_n = self.replica.n
        for change in changes:
            if change.n <= self.replica.n:
                continue  # SYNC-17: seen before
            if change.n != self.replica.n + 1:
                is_dense = False  # SYNC-6: proof of a gap
                self.gap_count += 1
                break
            if row_change := self.replica.apply(change):
                real.append(row_change)
            touched[change.table, change.row_id] = None
            is_equal = self._checkpoint.agrees_after(change, self.replica) and is_equal
        if self.replica.n > before_n:
            as_of = as_of if is_dense else None
            self._effects.append(do.CommitRows(self.replica.commit_of(self.scope, touched, as_of)))
        self._publish(real, self._source)
        return is_dense, is_equal

    def _retry_gap(self, now: float) -> None:
        self._fruitless_count += 1
        if self._fruitless_count >= FRUITLESS_LIMIT:
            self._fruitless_count = 0
            self.last_error = ProtocolError("The change feed had a gap; reading everything again")
            self._send_snapshot()
        else:
            self._send_pull(self._source, now)

    def _note_promise(self, ring: ev.Rang) -> bool:
        """Note the position that a ring names, if it is one of this epoch."""
        if ring.n is None or ring.epoch not in {self.replica.epoch, None}:
            return False
        self._promise.note(ring.n)
        return True

    def _note_complete(self, database_now: str | None, now: float) -> bool:
        """Note that the replica was complete; return whether it must be proved once more.

        SYNC-3: an answer asked for before the latest start may miss what came before the start.
        Rings alone do not take ``has_settled`` away, or a busy customer would never be live.
        """
        self.fresh_as_of = database_now or self.fresh_as_of
        self._backoff.reset()
        if self._is_start_pending:
            return True
        self._has_settled = True
        self.last_error = None
        if not self._promise.is_open(self.replica.n, now):
            self._lag.end()
        return False

    def _publish(self, changes: list[RowChange] | Differences, source: ChangeSource) -> None:
        # SYNC-9: always after the commit effect of the same rows.
        if changes:
            self._effects.append(do.PublishChanges(changes, source))

    def snapshot_commit(self) -> Commit | None:
        """Return everything as one commit, for a store that has to be rewritten."""
        if self.replica.epoch is None:
            return None
        return self.replica.commit_all(self.scope, self.fresh_as_of)

    def _is_news(self, ring: ev.Rang) -> bool:
        """SYNC-12: a ring for a position already read says nothing new."""
        if ring.n is None or ring.n > self.replica.n:
            return True
        return ring.epoch is not None and ring.epoch != self.replica.epoch

    def _take_effects(self) -> list[SyncEffect]:
        effects, self._effects = self._effects, []
        return effects
