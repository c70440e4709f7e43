"""OutboxMachine: local writes, sent in order, each with exactly one effect.

Pure: it is told facts and the time, and answers with orders. It owns the entries.
The rules (OUT-n) are in docs/protocol/outbox.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from portal_sdk._core.backoff import Backoff
from portal_sdk._core.outbox_effects import (
    AskMerge,
    ForgetEntry,
    LookForRow,
    OutboxEffect,
    ReportState,
    SaveEntry,
    SendWrite,
    ShowWrites,
)
from portal_sdk._core.outbox_table import (
    OUTBOX_TABLE,
    DiscardAsked,
    MergeDecided,
    RetryAsked,
    RowSeen,
    SendDue,
    WriteApplied,
    WriteEvent,
    WriteFailed,
    WriteRefused,
    WriteStale,
)
from portal_sdk._core.refusals import conflict_error, describe_error, row_gone_error
from portal_sdk._core.write import (
    Entry,
    Write,
    WriteKind,
    WriteState,
    column_value,
    columns_of,
    patch_row,
    to_stored,
)
from portal_sdk.config import PortalConfig
from portal_sdk.errors import AuthError, PortalError, RateLimitedError, TransportError
from portal_sdk.types import Row

MAX_IN_FLIGHT = 4
WAITING = frozenset({WriteState.QUEUED, WriteState.SENDING})
LOOK_CAP_S = 30.0
RETRY_CAP_FACTOR = 4.0


class OutboxMachine:
    """Every local write that is not over yet.

    Attributes:
        entries: By write id, oldest first; only this machine changes it.
        asks_conflicts: The application decides conflicts (OUT-13).
    """

    def __init__(self, config: PortalConfig, draw: Callable[[], float]) -> None:
        self.entries: dict[str, Entry] = {}
        self.asks_conflicts = False
        self._config = config
        self._draw = draw
        self._cap_s = config.backoff_cap_s * RETRY_CAP_FACTOR
        self._hold = Backoff(config.backoff_base_s, self._cap_s)
        self._hold_until: float | None = None
        self._is_allowed = False
        self._is_troubled = False
        self._last_serial = 0
        self._retries: dict[str, Backoff] = {}
        self._retry_at: dict[str, float] = {}
        self._looks: dict[str, Backoff] = {}
        self._look_at: dict[str, float] = {}
        self._known: dict[tuple[str, str], Row] = {}  # the newest row, from whatever answer
        self._seen: dict[tuple[str, str], int] = {}  # its version in the feed
        self._effects: list[OutboxEffect] = []
        self._actions: dict[str, Callable[[Entry, Any, float], None]] = {
            "ignore": lambda _entry, _event, _now: None,
            "send": self._send,
            "acknowledge": self._acknowledge,
            "rebase": self._rebase,
            "merge": self._merge,
            "refuse": self._refuse,
            "wait": self._wait,
            "settle_if_seen": self._settle_if_seen,
            "settle_if_made": self._settle_if_made,
            "settle": self._settle,
            "requeue": self._requeue,
            "discard_unsent": self._discard_unsent,
            "discard": self._discard,
        }

    # Public.

    @property
    def pending_count(self) -> int:
        """Writes that the database has not confirmed and not refused."""
        entries = self.entries.values()  # nearly always none, and asked for after every event
        return sum(entry.state in WAITING for entry in entries) if entries else 0

    def load(self, entries: Iterable[Entry]) -> list[OutboxEffect]:
        """OUT-10: take over stored entries, oldest first."""
        for entry in sorted(entries, key=lambda entry: entry.serial):
            self.entries[entry.write.write_id] = to_stored(entry)
            self._last_serial = max(self._last_serial, entry.serial)
        for key in {entry.key: None for entry in self.entries.values()}:
            self._show(key)
        return self._take_effects()

    def submit(self, write: Write, now: float) -> list[OutboxEffect]:
        """OUT-1: take a new write in: durable, then shown, then sent."""
        self._last_serial += 1
        self._put(Entry(write, self._last_serial), is_saved=True)
        self._show((write.table, write.row_id))
        self._pump(now)
        return self._take_effects()

    def handle(self, event: WriteEvent, now: float) -> list[OutboxEffect]:
        """Take a fact in at time ``now`` (seconds, monotonic); return the orders."""
        self._tell(event, now)
        self._pump(now)
        return self._take_effects()

    def allow(self, *, is_allowed: bool, now: float) -> list[OutboxEffect]:
        """Say whether anything can be sent at all: signed in, not paused, not closed."""
        has_come_back = is_allowed and not self._is_allowed
        self._is_allowed = is_allowed
        if has_come_back:
            return self.hurry(now)
        self._pump(now)
        return self._take_effects()

    def hurry(self, now: float) -> list[OutboxEffect]:
        """The database answers again: waits that an outage caused are over (OUT-6)."""
        self._hold_until = None
        self._retry_at.clear()
        self._pump(now)
        return self._take_effects()

    def see_row(self, key: tuple[str, str], row: Row | None, now: float) -> list[OutboxEffect]:
        """The feed shows this row now; None when it left."""
        version = None if row is None else _version(row)
        self._seen.pop(key, None)
        if row is not None and version is not None:
            self._seen[key] = version
            self._note_row(key, row)
        for entry in self._of_row(key):
            self._tell(RowSeen(entry.write.write_id, version), now)
        self._pump(now)
        return self._take_effects()

    def next_deadline(self) -> float | None:
        """Return when ``handle_timer`` wants to be called, or None."""
        if not self._is_allowed:
            return None
        deadlines = [*self._retry_at.values(), *self._look_at.values()]
        if self._hold_until is not None:
            deadlines.append(self._hold_until)
        return min(deadlines, default=None)

    def handle_timer(self, now: float) -> list[OutboxEffect]:
        """Act on every deadline that has passed."""
        if self._hold_until is not None and now >= self._hold_until:
            self._hold_until = None
        for lane, at in list(self._retry_at.items()):
            if now >= at:
                del self._retry_at[lane]
        for write_id, at in list(self._look_at.items()):
            if now >= at:
                delay_s = self._looks[write_id].next_delay_s(self._draw())
                self._look_at[write_id] = now + self._config.ring_grace_s + delay_s
                self._effects.append(LookForRow(self.entries[write_id]))
        self._pump(now)
        return self._take_effects()

    # Order.

    def _pump(self, now: float) -> None:
        """OUT-5, OUT-6: send what is due: one per lane, few at a time, fewer after trouble."""
        if not self._is_allowed or self._hold_until is not None:
            return
        entries = self.entries.values()
        room = 1 if self._is_troubled else MAX_IN_FLIGHT
        room -= sum(entry.state is WriteState.SENDING for entry in entries)
        busy = {e.write.lane for e in entries if e.state is WriteState.SENDING}
        for entry in list(entries):
            lane = entry.write.lane
            if room <= 0:
                return
            if entry.state is not WriteState.QUEUED or lane in busy:
                continue
            busy.add(lane)
            if lane not in self._retry_at:
                self._tell(SendDue(entry.write.write_id), now)
                room -= 1

    def _tell(self, event: WriteEvent, now: float) -> None:
        entry = self.entries.get(event.write_id)
        if entry is None:
            return  # it is over: synced or discarded
        rule = OUTBOX_TABLE[entry.state][type(event)]
        self._actions[rule.action](entry, event, now)

    # Actions of the table.

    def _send(self, entry: Entry, _event: SendDue, _now: float) -> None:
        sent = replace(entry, state=WriteState.SENDING, was_sent=True)
        if entry.write.kind is WriteKind.PATCH and entry.sent_version is None:
            known = self._known.get(entry.key)
            if known is not None:
                body = patch_row(known, entry.write.values)
                columns = columns_of(entry.write.values)
                # OUT-3: stored before it leaves; a repetition must be the same request.
                sent = replace(
                    sent,
                    sent_version=_version(known),
                    sent_body={column: body.get(column) for column in columns},
                )
        is_repetition = entry.was_sent and entry.sent_version == sent.sent_version
        self._put(sent, is_saved=not is_repetition)
        self._effects.append(SendWrite(sent, is_repetition=entry.was_sent))

    def _acknowledge(self, entry: Entry, event: WriteApplied, now: float) -> None:
        self._note_success(entry)
        if event.row is None:
            self._settle(entry, event, now)
            return
        version = _version(event.row)
        self._note_row(entry.key, event.row)
        acked = replace(entry, state=WriteState.ACKED, acked_version=version)
        self._put(acked, is_saved=True)
        self._effects.append(ReportState(acked))
        if self._seen.get(entry.key, -1) >= version:
            self._settle(acked, event, now)  # the feed was faster than the answer
            return
        self._looks[entry.write.write_id] = Backoff(self._config.backoff_base_s, LOOK_CAP_S)
        self._look_at[entry.write.write_id] = now + self._config.ring_grace_s
        self._show(entry.key)

    def _rebase(self, entry: Entry, event: WriteStale, now: float) -> None:
        """OUT-4: the row is another one than the write was made for."""
        row, write = event.row, entry.write
        if row is None:
            self._refuse(entry, WriteRefused(write.write_id, row_gone_error(write)), now)
            return
        self._note_row(entry.key, row)
        paths = write.values
        if all(column_value(row, path) == value for path, value in paths.items()):
            self._acknowledge(entry, WriteApplied(write.write_id, row), now)
            return
        changed = [
            path
            for path, value in paths.items()
            if column_value(row, path) not in (write.base.get(path), value)
        ]
        if changed and self.asks_conflicts:
            self._effects.append(AskMerge(entry, row, tuple(sorted(changed))))
            return
        if changed:
            self._refuse(entry, WriteRefused(write.write_id, conflict_error(write, changed)), now)
            return
        self._note_success(entry)
        self._put(replace(_unsent(entry), state=WriteState.QUEUED), is_saved=True)

    def _merge(self, entry: Entry, event: MergeDecided, now: float) -> None:
        """OUT-13: the edit becomes what the application made of the conflict."""
        write, row = entry.write, event.row
        conflicts = [
            path
            for path, value in write.values.items()
            if column_value(row, path) not in (write.base.get(path), value)
        ]
        if event.values is None:
            self._refuse(entry, WriteRefused(write.write_id, conflict_error(write, conflicts)), now)
            return
        values = dict(write.values)
        for path in conflicts:
            values[path] = event.values.get(path, column_value(row, path))
        base = {path: column_value(row, path) for path in values}
        merged = replace(_unsent(entry), write=replace(write, values=values, base=base))
        if values == base:
            self._put(merged, is_saved=True)
            self._acknowledge(merged, WriteApplied(write.write_id, row), now)
            return
        self._note_success(entry)
        self._put(replace(merged, state=WriteState.QUEUED), is_saved=True)
        self._show(entry.key)

    def _refuse(self, entry: Entry, event: WriteRefused, _now: float) -> None:
        self._note_success(entry)
        self._park(entry, event.error)
        if entry.write.makes_row:
            # OUT-7: what was to be done to a row that does not come into being.
            for other in self._of_row(entry.key):
                if other.state is WriteState.QUEUED:
                    self._park(other, event.error)
        self._show(entry.key)

    def _wait(self, entry: Entry, event: WriteFailed, now: float) -> None:
        self._is_troubled = True
        self._put(replace(entry, state=WriteState.QUEUED), is_saved=False)
        asked_s = getattr(event.error, "retry_after_s", None) or 0.0
        if isinstance(event.error, (TransportError, RateLimitedError, AuthError)):
            delay_s = self._hold.next_delay_s(self._draw())
            self._hold_until = now + max(delay_s, asked_s)
            return
        lane = entry.write.lane
        retries = self._retries.setdefault(lane, Backoff(self._config.backoff_base_s, self._cap_s))
        self._retry_at[lane] = now + max(retries.next_delay_s(self._draw()), asked_s)

    def _settle_if_seen(self, entry: Entry, event: RowSeen, now: float) -> None:
        version = event.version
        if version is None or version >= (entry.acked_version or 0):
            self._settle(entry, event, now)

    def _settle_if_made(self, entry: Entry, event: RowSeen, now: float) -> None:
        """OUT-14: the row that it makes is there, so it took effect."""
        if entry.write.makes_row and event.version is not None:
            self._settle(entry, event, now)

    def _settle(self, entry: Entry, _event: object, _now: float) -> None:
        self._end(entry, WriteState.SYNCED)

    def _requeue(self, entry: Entry, _event: RetryAsked, _now: float) -> None:
        # A refused write had no effect; sent again, it is for the row as it is now.
        known = self._known.get(entry.key, {})
        base = {path: column_value(known, path) for path in entry.write.values}
        fresh = replace(_unsent(entry), write=replace(entry.write, base=base), error=None)
        self._put(replace(fresh, state=WriteState.QUEUED), is_saved=True)
        self._effects.append(ReportState(self.entries[entry.write.write_id]))
        self._show(entry.key)

    def _discard_unsent(self, entry: Entry, event: DiscardAsked, now: float) -> None:
        if not entry.was_sent:  # OUT-12: one that was sent may be in effect already
            self._discard(entry, event, now)

    def _discard(self, entry: Entry, _event: DiscardAsked, _now: float) -> None:
        self._end(entry, WriteState.DISCARDED)

    # Steps.

    def _park(self, entry: Entry, error: PortalError) -> None:
        parked = replace(entry, state=WriteState.REFUSED, error=describe_error(error))
        self._put(parked, is_saved=True)
        self._effects.append(ReportState(parked, error))

    def _end(self, entry: Entry, state: WriteState) -> None:
        write_id = entry.write.write_id
        del self.entries[write_id]
        self._looks.pop(write_id, None)
        self._look_at.pop(write_id, None)
        self._effects.append(ForgetEntry(write_id))
        self._effects.append(ReportState(replace(entry, state=state)))
        self._show(entry.key)
        if not self._of_row(entry.key):
            self._known.pop(entry.key, None)
            self._seen.pop(entry.key, None)

    def _put(self, entry: Entry, *, is_saved: bool) -> None:
        self.entries[entry.write.write_id] = entry
        if is_saved:
            self._effects.append(SaveEntry(entry))

    def _show(self, key: tuple[str, str]) -> None:
        shown = [entry for entry in self._of_row(key) if entry.is_shown]
        self._effects.append(ShowWrites(key, shown))

    def _of_row(self, key: tuple[str, str]) -> list[Entry]:
        return [entry for entry in self.entries.values() if entry.key == key]

    def _note_row(self, key: tuple[str, str], row: Row) -> None:
        known = self._known.get(key)
        if known is None or _version(row) >= _version(known):
            self._known[key] = row

    def _note_success(self, entry: Entry) -> None:
        """The database answered: what it says about one write, it says about the way to it."""
        self._is_troubled = False
        self._hold.reset()
        self._retries.pop(entry.write.lane, None)

    def _take_effects(self) -> list[OutboxEffect]:
        effects, self._effects = self._effects, []
        return effects


def _unsent(entry: Entry) -> Entry:
    return replace(entry, was_sent=False, sent_version=None, sent_body=None)


def _version(row: Row) -> int:
    version = row.get("version")
    return version if isinstance(version, int) else 1
