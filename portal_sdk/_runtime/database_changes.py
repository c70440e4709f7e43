"""The second doorbell: postgres_changes on the feed table; its rows are the changes themselves."""

from __future__ import annotations

from typing import Any

from realtime.types import RealtimePostgresChangesListenEvent, RealtimeSubscribeStates

from portal_sdk._core.events import DoorbellJoined, DoorbellRang, LossKind
from portal_sdk._core.feed import FeedChange, parse_entry
from portal_sdk._core.json_value import as_object
from portal_sdk._runtime.broadcast import BroadcastLink
from portal_sdk.errors import ConnectionLostError, ProtocolError

EXTENSION = "postgres_changes"
FEED_TABLE = "sync_changes"


class DatabaseChangesLink(BroadcastLink):
    """One socket with one binding on the feed; the rows pass this customer's own policies.

    The channel is public: what protects the rows is row-level security of the table, and a project
    whose policies for private channels are missing is one reason to be here.
    """

    is_private = False
    topic_prefix = "feed:"

    def prepare(self) -> None:
        """Register the one binding; the library puts it into the join."""
        self._channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.Insert,
            _ignore,
            table=FEED_TABLE,
            schema="public",
            filter=f"scope=eq.{self._scope}",
        )

    def change_received(self, payload: dict[str, Any]) -> None:
        """Turn a feed row into an event; anything odd still means "look"."""
        if not self._has_ended:
            change = self._read(payload)
            n = None if change is None else change.n
            self._sink(DoorbellRang(self._generation, None, n, change))

    def system_received(self, payload: dict[str, Any]) -> None:
        """Only the server's word that the stream runs is a join; the reply to the join is not."""
        if payload.get("extension") != EXTENSION:
            super().system_received(payload)
        elif payload.get("status") == "ok":
            self._report_stream()
        else:
            reason = str(payload.get("message", ""))
            error = ConnectionLostError(f"Realtime cannot stream the feed: {reason}")
            self._lose(LossKind.CHANNEL, error)

    def _report_stream(self) -> None:
        if self._has_ended:
            return
        if self._is_streaming:
            # The server subscribed anew by itself: what it missed meanwhile is not sent.
            self._sink(DoorbellRang(self._generation))
        self._is_streaming = True
        self._sink(DoorbellJoined(self._generation))

    def _join_answered(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if state is not RealtimeSubscribeStates.SUBSCRIBED:
            super()._join_answered(state, error)

    def _read(self, payload: dict[str, Any]) -> FeedChange | None:
        data = as_object(payload.get("data"))
        if data is None or data.get("errors") or data.get("type") != "INSERT":
            return None
        record = as_object(data.get("record"))
        if record is None or record.get("scope") != self._scope:
            return None
        try:
            return parse_entry(record)
        except ProtocolError:
            return None


def _ignore(_payload: Any) -> None:
    """Do nothing: frames are taken before the library routes them."""
