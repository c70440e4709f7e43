"""What one portal did, in numbers: ``portal.metrics``. No row data, no identities."""

from __future__ import annotations

import dataclasses
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from portal_sdk._core.json_value import as_object
from portal_sdk._core.write import WriteState
from portal_sdk._runtime.server_clock import ServerClock
from portal_sdk.types import ChangeSource

WINDOW = 1024


@dataclass(frozen=True, slots=True)
class Latency:
    """Durations of one kind, in milliseconds; the percentiles are of the last 1,024.

    Attributes:
        count: How many there were.
        p50_ms, p99_ms, max_ms: Of the last 1,024; 0 without any.
    """

    count: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class PortalMetrics:
    """Counters and latencies since the portal was opened; a copy that never changes.

    Attributes:
        changes: Changes handed to subscribers, by source.
        sockets_opened: Doorbell connections, the first included.
        resyncs: Times everything was read again.
        gaps: Proofs of a missing change in a page of the feed; each was read again.
        status_changes: How often ``status.state`` changed.
        callback_errors: Exceptions raised by callbacks.
        writes_submitted, writes_synced, writes_refused, writes_discarded: Local writes.
        writes_pending: Local writes that the database has not answered.
        change_latency: From the database's commit to the subscribers' queues, by the database's
            clock as its answers tell it: right to about one round trip. Only of changes whose
            source is ``live``: one that a verification found before its late ring is not in it.
        write_latency: From the call to the moment the feed brought the write back.
    """

    changes: Mapping[ChangeSource, int] = field(default_factory=dict[ChangeSource, int])
    sockets_opened: int = 0
    resyncs: int = 0
    gaps: int = 0
    status_changes: int = 0
    callback_errors: int = 0
    writes_submitted: int = 0
    writes_synced: int = 0
    writes_refused: int = 0
    writes_discarded: int = 0
    writes_pending: int = 0
    change_latency: Latency = field(default_factory=Latency)
    write_latency: Latency = field(default_factory=Latency)

    def flat(self) -> dict[str, float]:
        """Return every number under a dotted name, for Prometheus, OpenTelemetry or a log line."""
        numbers: dict[str, float] = {}
        for name, value in dataclasses.asdict(self).items():
            parts = as_object(value)
            if parts is not None:
                numbers.update({f"{name}.{part}": number for part, number in parts.items()})
            else:
                numbers[name] = value
        return numbers


class LatencyWindow:
    """The last durations of one kind."""

    def __init__(self) -> None:
        self._count = 0
        self._last_ms: deque[float] = deque(maxlen=WINDOW)

    def add_s(self, seconds: float) -> None:
        """Note one duration."""
        self._count += 1
        self._last_ms.append(seconds * 1000)

    def freeze(self) -> Latency:
        """Return the numbers of this moment."""
        if not self._last_ms:
            return Latency()
        ordered = sorted(self._last_ms)
        last = len(ordered) - 1
        return Latency(self._count, ordered[last // 2], ordered[round(last * 0.99)], ordered[last])


class MetricsRecorder:
    """Counts; owned by one portal."""

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock
        self.status_changes = 0
        self._changes: Counter[ChangeSource] = Counter()
        self._writes: Counter[str] = Counter()
        self._change_latency = LatencyWindow()
        self._write_latency = LatencyWindow()

    def change_published(self, source: ChangeSource, committed_at: datetime | None) -> None:
        """A change went to the subscribers."""
        self._changes[source] += 1
        if source == "live" and committed_at is not None:
            age_s = self._clock.now_s() - committed_at.timestamp()
            self._change_latency.add_s(max(0.0, age_s))

    def write_submitted(self) -> None:
        """The application wrote something."""
        self._writes["submitted"] += 1

    def write_moved(self, state: WriteState, made_at: str, *, is_refusal: bool) -> None:
        """A write has another state."""
        if state is WriteState.SYNCED:
            age = datetime.now(UTC) - datetime.fromisoformat(made_at)
            self._write_latency.add_s(age.total_seconds())
        if state in {WriteState.SYNCED, WriteState.DISCARDED} or is_refusal:
            self._writes[state.value] += 1

    def freeze(
        self, *, sockets_opened: int, resyncs: int, gaps: int, callback_errors: int, pending: int
    ) -> PortalMetrics:
        """Return the numbers of this moment."""
        return PortalMetrics(
            changes=dict(self._changes),
            sockets_opened=sockets_opened,
            resyncs=resyncs,
            gaps=gaps,
            status_changes=self.status_changes,
            callback_errors=callback_errors,
            writes_submitted=self._writes["submitted"],
            writes_synced=self._writes["synced"],
            writes_refused=self._writes["refused"],
            writes_discarded=self._writes["discarded"],
            writes_pending=pending,
            change_latency=self._change_latency.freeze(),
            write_latency=self._write_latency.freeze(),
        )


__all__ = ["Latency", "PortalMetrics"]
