"""OpenTelemetry: a portal's metrics as instruments of a meter. Needs the extra ``otel``.

Nothing of OpenTelemetry is imported before this module is. No row data and no identities leave.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from portal_sdk.errors import ConfigurationError
from portal_sdk.metrics import Latency, PortalMetrics
from portal_sdk.types import SyncStatus

try:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation, get_meter
except ImportError as error:  # pragma: no cover - depends on what is installed
    raise ConfigurationError(
        "portal_sdk.telemetry needs OpenTelemetry: pip install 'portal-sync[otel]'"
    ) from error

METER_NAME = "portal_sync"
COUNTERS = ("sockets_opened", "resyncs", "gaps", "status_changes", "callback_errors")
WRITES = ("submitted", "synced", "refused", "discarded")
Attributes = Mapping[str, str]
Numbers = Iterable[tuple[float, Attributes]]


class Measured(Protocol):
    """An asynchronous or a blocking portal."""

    @property
    def metrics(self) -> PortalMetrics:
        """Its counters and latencies."""
        ...

    @property
    def status(self) -> SyncStatus:
        """How fresh its rows are."""
        ...


def observe(
    portal: Measured, *, meter: Meter | None = None, attributes: Attributes | None = None
) -> None:
    """Let a meter read the portal's metrics whenever it exports, until the portal is gone.

    Instruments, all under ``portal_sync.``: counters ``changes`` (by source), ``writes`` (by
    outcome), ``sockets_opened``, ``resyncs``, ``gaps``, ``status_changes``, ``callback_errors``;
    gauges ``writes_pending``, ``change_latency`` and ``write_latency`` (ms, by quantile), and
    ``state`` (1 for the present one, by state).

    Args:
        portal: An entered portal, asynchronous or blocking.
        meter: Where to register; None is the meter ``portal_sync`` of the global provider.
        attributes: Added to every number, to tell portals apart; put no identities here.

    Raises:
        ConfigurationError: Not a portal.
    """
    if not isinstance(getattr(type(portal), "metrics", None), property):
        raise ConfigurationError(f"observe needs a portal, not {portal!r}")
    meter = meter or get_meter(METER_NAME)
    held = weakref.ref(portal)
    extra = dict(attributes or {})

    def read(numbers: Callable[[Measured], Numbers]) -> _Callback:
        def observe_now(_options: CallbackOptions) -> Iterable[Observation]:
            alive = held()
            if alive is None:
                return []
            return [Observation(value, {**extra, **more}) for value, more in numbers(alive)]

        return observe_now

    for name in COUNTERS:
        meter.create_observable_counter(f"{METER_NAME}.{name}", [read(_counter(name))])
    meter.create_observable_counter(f"{METER_NAME}.changes", [read(_changes)])
    meter.create_observable_counter(f"{METER_NAME}.writes", [read(_writes)])
    meter.create_observable_gauge(f"{METER_NAME}.writes_pending", [read(_pending)])
    meter.create_observable_gauge(f"{METER_NAME}.state", [read(_state)])
    for name in ("change_latency", "write_latency"):
        meter.create_observable_gauge(f"{METER_NAME}.{name}", [read(_latency(name))], unit="ms")


_Callback = Callable[[CallbackOptions], Iterable[Observation]]


def _counter(name: str) -> Callable[[Measured], Numbers]:
    return lambda portal: [(getattr(portal.metrics, name), {})]


def _changes(portal: Measured) -> Numbers:
    return [(count, {"source": source}) for source, count in portal.metrics.changes.items()]


def _writes(portal: Measured) -> Numbers:
    metrics = portal.metrics
    return [(getattr(metrics, f"writes_{name}"), {"outcome": name}) for name in WRITES]


def _pending(portal: Measured) -> Numbers:
    return [(portal.metrics.writes_pending, {})]


def _state(portal: Measured) -> Numbers:
    return [(1, {"state": portal.status.state.value})]


def _latency(name: str) -> Callable[[Measured], Numbers]:
    def numbers(portal: Measured) -> Numbers:
        latency: Latency = getattr(portal.metrics, name)
        if not latency.count:
            return []
        quantiles = (("0.5", latency.p50_ms), ("0.99", latency.p99_ms), ("1", latency.max_ms))
        return [(value, {"quantile": quantile}) for quantile, value in quantiles]

    return numbers


__all__ = ["observe"]
