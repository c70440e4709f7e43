"""Runs the OutboxMachine: keeps, shows, sends, and tells the handles. One per portal."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from portal_sdk._core import outbox_effects as do
from portal_sdk._core.difference import RowChange
from portal_sdk._core.outbox import OutboxMachine
from portal_sdk._core.outbox_effects import OutboxEffect
from portal_sdk._core.outbox_table import (
    DiscardAsked,
    MergeDecided,
    RetryAsked,
    WriteEvent,
    WriteFailed,
)
from portal_sdk._core.overlay import Overlay, Shift
from portal_sdk._core.write import Entry, Write, to_stored
from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.merging import Resolver, resolve
from portal_sdk._runtime.threads import check_loop
from portal_sdk._runtime.writing import WriteApi
from portal_sdk._store.outbox import MemoryOutbox, OutboxStore
from portal_sdk.config import PortalConfig
from portal_sdk.errors import PortalError, ProtocolError, RequestTimeoutError, StoreError
from portal_sdk.types import Row

logger = logging.getLogger("portal_sdk.outbox")
FailPoint = Callable[[str], None]


class OutboxHost(Protocol):
    """What the runner needs of the portal; every method only enqueues."""

    def shown(self, shifts: list[Shift]) -> None:
        """Rows are shown differently because of local writes."""

    def write_moved(self, entry: Entry, error: PortalError | None) -> None:
        """A write has another state."""

    def poke_feed(self) -> None:
        """Read the feed once, because something is missing from it."""

    def base_row(self, table: str, row_id: str) -> Row | None:
        """Return the row as the feed has it."""
        ...

    def access_token(self) -> str:
        """Return the newest access token, or an empty text."""
        ...


class OutboxRunner:
    """Owns the machine, the overlay's writes and the tasks that send them.

    Attributes:
        machine: Read only for observers.
        store_error: Why writes are not kept on disk, or None.
        fail_point: Called with the name of each step; tests end the process there.
    """

    def __init__(self, config: PortalConfig, overlay: Overlay, host: OutboxHost) -> None:
        self.machine = OutboxMachine(config, random.random)
        self.store_error: StoreError | None = None
        self.fail_point: FailPoint = _pass_on
        self._config = config
        self._overlay = overlay
        self._host = host
        self._store: OutboxStore = MemoryOutbox()
        self._owner: str | None = None
        self._resolver: Resolver | None = None
        self._api: WriteApi | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._is_allowed = False
        self._captured: list[Shift] | None = None
        self._performers: dict[type, Callable[[Any], None]] = {
            do.SaveEntry: self._save,
            do.ForgetEntry: self._forget,
            do.SendWrite: self._send,
            do.LookForRow: self._look,
            do.AskMerge: self._ask_merge,
            do.ShowWrites: self._show,
            do.ReportState: self._report,
        }

    # For the portal.

    def start(self, http: HttpApi, store: OutboxStore) -> None:
        """Take the way to the database and the place to keep writes."""
        self._loop = asyncio.get_running_loop()
        self._api = WriteApi(http)
        self._store = store

    @property
    def owner(self) -> str | None:
        """Whose writes these are; None before anyone is known."""
        return self._owner

    def open(self, owner: str | None) -> None:
        """OUT-11: show and send the writes of this owner only."""
        if owner == self._owner or self._is_closed:
            return
        self._cancel()
        for key in {entry.key: None for entry in self.machine.entries.values()}:
            self._host.shown(self._overlay.take_writes(key, []))
        self.machine = OutboxMachine(self._config, random.random)
        self.machine.asks_conflicts = self._resolver is not None
        self._is_allowed = False
        self._owner = owner
        if owner is None:
            return
        try:
            entries = [to_stored(entry) for entry in self._store.load(owner)]
        except StoreError as error:
            self._note_store_error(error)
            entries = []
        for entry in entries:
            self._host.write_moved(entry, None)
        self._perform(self.machine.load(entries))
        for entry in entries:
            self._see(entry.key)

    def submit(self, write: Write) -> Entry:
        """Keep, show and send a new write.

        Raises:
            StoreError: It could not be kept; it is neither shown nor sent.
        """
        # The machine sends for the version the feed has now.
        self._see((write.table, write.row_id))
        effects = self.machine.submit(write, self._now())
        entry = self.machine.entries[write.write_id]
        first, rest = effects[0], effects[1:]
        if isinstance(first, do.SaveEntry):
            try:
                self._store.save(self._owner or "", first.entry)
            except StoreError:
                self.machine.entries.pop(write.write_id)
                raise
        self.fail_point("kept")
        self._perform(rest)
        return entry

    def retry(self, write_id: str) -> None:
        """Send a refused write once more."""
        check_loop(self._loop)
        entry = self.machine.entries[write_id]
        self._see(entry.key)
        self._perform(self.machine.handle(RetryAsked(write_id), self._now()))

    def discard(self, write_id: str) -> None:
        """Give a write up that is certainly not in effect."""
        check_loop(self._loop)
        self._perform(self.machine.handle(DiscardAsked(write_id), self._now()))

    def decide_conflicts(self, resolver: Resolver) -> None:
        """Let the application say what conflicting edits become."""
        self._resolver = resolver
        self.machine.asks_conflicts = True

    def allow(self, *, is_allowed: bool) -> None:
        """Say whether sending makes sense at all."""
        has_changed = is_allowed != self._is_allowed
        self._is_allowed = is_allowed
        if not self._is_closed and (has_changed or self.machine.entries):
            self._perform(self.machine.allow(is_allowed=is_allowed, now=self._now()))

    def hurry(self) -> None:
        """The database answers again."""
        if not self._is_closed and self.machine.entries:
            self._perform(self.machine.hurry(self._now()))

    def take_base(self, change: RowChange) -> list[Shift]:
        """The feed changed a row that local writes are about; return what is shown differently."""
        before = self._overlay.shown_before(change)
        row = None if change.kind == "delete" else change.row
        key = (change.table, change.row_id)
        captured: list[Shift] = []
        self._captured = captured
        try:
            self._perform(self.machine.see_row(key, row, self._now()))
        finally:
            self._captured = None
        others = [shift for shift in captured if (shift.table, shift.row_id) != key]
        return [*others, *self._overlay.take_base(key, before, row)]

    def refresh(self) -> None:
        """Fold anew what a first snapshot brought; it is not reported as a change."""
        for key in self._overlay.outdated():
            row = self._host.base_row(*key)
            self._captured = []
            try:
                self._perform(self.machine.see_row(key, row, self._now()))
            finally:
                self._captured = None
            self._overlay.take_base(key, row, row)
        if self.machine.entries and (shifts := self._overlay.predict_again()):
            self._host.shown(shifts)

    async def close(self) -> None:
        """Stop sending; what is not over stays in the store."""
        self._is_closed = True
        tasks = self._cancel()
        if tasks:
            await asyncio.wait(tasks)

    # Effects.

    def _perform(self, effects: list[OutboxEffect]) -> None:
        for effect in effects:
            self._performers[type(effect)](effect)
        self._set_timer()

    def _save(self, effect: do.SaveEntry) -> None:
        try:
            self._store.save(self._owner or "", effect.entry)
        except StoreError as error:
            self._note_store_error(error)
        else:
            self.store_error = None

    def _forget(self, effect: do.ForgetEntry) -> None:
        self.fail_point("synced")
        try:
            self._store.forget(effect.write_id)
        except StoreError as error:
            self._note_store_error(error)

    def _send(self, effect: do.SendWrite) -> None:
        self._start(self._run_send(effect.entry, effect.is_repetition), "write")

    def _look(self, effect: do.LookForRow) -> None:
        self._start(self._run_look(effect.entry), "look")

    def _ask_merge(self, effect: do.AskMerge) -> None:
        self._start(self._run_merge(effect), "merge")

    def _show(self, effect: do.ShowWrites) -> None:
        shifts = self._overlay.take_writes(effect.key, effect.entries)
        if self._captured is None:
            self._host.shown(shifts)
        else:
            self._captured.extend(shifts)  # part of a change of the feed, reported with it

    def _report(self, effect: do.ReportState) -> None:
        self._host.write_moved(effect.entry, effect.error)

    # Work.

    async def _run_send(self, entry: Entry, is_repetition: bool) -> None:
        self.fail_point("sending")
        api = self._api
        outcome: WriteEvent
        try:
            if api is None:
                return
            async with asyncio.timeout(self._config.request_timeout_s):
                token = self._host.access_token()
                outcome = await api.send(entry, token=token, is_repetition=is_repetition)
        except PortalError as error:
            outcome = WriteFailed(entry.write.write_id, error)
        except TimeoutError:
            late = RequestTimeoutError("No answer to a write in time")
            outcome = WriteFailed(entry.write.write_id, late)
        except Exception as error:
            logger.exception("A write failed because of a bug in the SDK")
            surprise = ProtocolError(f"Unexpected {type(error).__name__} while writing")
            outcome = WriteFailed(entry.write.write_id, surprise)
        self.fail_point("answered")
        if isinstance(outcome, WriteFailed):
            name = type(outcome.error).__name__
            logger.info("A write to %s was not answered (%s)", entry.write.table, name)
            self._host.poke_feed()
        self._perform(self.machine.handle(outcome, self._now()))
        self.fail_point("recorded")

    async def _run_merge(self, effect: do.AskMerge) -> None:
        values = None
        if self._resolver is not None:
            values = await resolve(self._resolver, effect)
        decided = MergeDecided(effect.entry.write.write_id, effect.row, values)
        self._perform(self.machine.handle(decided, self._now()))

    async def _run_look(self, entry: Entry) -> None:
        api = self._api
        try:
            if api is None:
                return
            async with asyncio.timeout(self._config.request_timeout_s):
                missing = await api.look(entry, token=self._host.access_token())
        except (PortalError, TimeoutError):
            return  # the machine asks again
        if missing is None:
            self._see(entry.key)
            self._host.poke_feed()
        else:
            self._perform(self.machine.handle(missing, self._now()))

    # Private.

    def _see(self, key: tuple[str, str]) -> None:
        row = self._host.base_row(*key)
        if row is not None:
            self._perform(self.machine.see_row(key, row, self._now()))

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"portal-{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self.machine.next_deadline()
        if deadline is not None and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._perform(self.machine.handle_timer(self._now()))

    def _cancel(self) -> list[asyncio.Task[None]]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks

    def _note_store_error(self, error: StoreError) -> None:
        if self.store_error is None:
            logger.error("Local writes are kept in memory only: %s", error)
        self.store_error = error


def _pass_on(_step: str) -> None:
    """Do nothing: no test wants the process to end here."""
