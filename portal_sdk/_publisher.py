"""From committed and local row changes to the tables' subscribers. Only ever enqueues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from portal_sdk._core.difference import RowChange
from portal_sdk._core.effects import PublishChanges
from portal_sdk._core.overlay import Overlay, Shift
from portal_sdk._runtime.delivery import Subscribers
from portal_sdk._runtime.outbox import OutboxRunner
from portal_sdk.metrics import MetricsRecorder
from portal_sdk.tables import LiveTable
from portal_sdk.types import Change, ChangeSource


class Publisher:
    """Hands changes to the tables and to ``portal.changes``; owned by the portal."""

    def __init__(
        self,
        tables: Mapping[str, LiveTable[Any]],
        changes: Subscribers[Change[Any]],
        overlay: Overlay,
        position: Callable[[], int],
        recorder: MetricsRecorder,
    ) -> None:
        self._tables = tables
        self._changes = changes
        self._overlay = overlay
        self._position = position
        self._recorder = recorder

    def publish_feed(self, effect: PublishChanges, runner: OutboxRunner) -> None:
        """Hand over what the feed brought, as it looks under the local writes."""
        for change in effect.changes:
            if not self._overlay.covers(change.table, change.row_id):
                self._publish(change, effect.source)
                continue
            shifts = runner.take_base(change)
            self._publish_shifts(shifts, effect.source, change.n, change.committed_at)

    def publish_local(self, shifts: Iterable[Shift]) -> None:
        """Hand over what local writes changed."""
        self._publish_shifts(shifts, "local", self._position(), None)

    def _publish_shifts(
        self, shifts: Iterable[Shift], source: ChangeSource, n: int, committed_at: str | None
    ) -> None:
        for shift in shifts:
            change = shift.to_change(n, committed_at)
            if change is not None:
                self._publish(change, source)

    def _publish(self, row_change: RowChange, source: ChangeSource) -> None:
        table = self._tables.get(row_change.table)
        if table is None:
            return  # a table of a newer database, which this version has no model for
        if self._changes or table.has_subscribers():
            change = table.to_change(row_change, source)
            table.deliver(change)
            self._changes.push(change)
            self._recorder.change_published(source, change.committed_at)
        if row_change.kind == "delete":
            table.forget(row_change.row_id)
        table.touch_views(row_change.row_id)
