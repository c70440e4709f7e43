"""Prometheus metrics of one application; names of routes and codes only, never ids or people."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from crm_service.durations import Durations

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Counters and histograms; one instance per application, safe to have many in a process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Durations(
            "crm_request_duration_seconds",
            "Time from the request's arrival to the end of its answer.",
            ("method", "route", "status"),
            buckets_s=_BUCKETS_S,
            registry=self._registry,
        )
        running = Gauge("crm_requests_running", "Requests being answered.", registry=self._registry)
        self._running = 0
        running.set_function(lambda: self._running)
        self._calls = Durations(
            "crm_database_call_duration_seconds",
            "Time of one call to PostgREST.",
            ("method", "outcome"),
            buckets_s=_BUCKETS_S,
            registry=self._registry,
        )
        self._problems = Counter(
            "crm_problems", "Answers that were problems.", ("code",), registry=self._registry
        )
        self._replays = Counter(
            "crm_replays", "Requests answered from an earlier copy.", registry=self._registry
        )
        self._merges = Counter(
            "crm_merges", "Changes made on top of others' changes.", registry=self._registry
        )
        self._streams = Gauge("crm_event_streams", "Open event streams.", registry=self._registry)

    def request_started(self) -> None:
        """Count a request in."""
        self._running += 1

    def request_ended(self, method: str, route: str, status: int | None, duration_s: float) -> None:
        """Count a request out; ``status`` None if the caller went away."""
        self._running -= 1
        self._requests.observe((method, route, status or "none"), duration_s)

    def database_call(self, method: str, outcome: str, duration_s: float) -> None:
        """Record a call to PostgREST; ``outcome`` is a status or the kind of failure."""
        self._calls.observe((method, outcome), duration_s)

    def problem(self, code: str) -> None:
        """Count a problem by its code."""
        self._problems.labels(code).inc()

    def replayed(self) -> None:
        """Count an answer that repeats an earlier one."""
        self._replays.inc()

    def merged(self) -> None:
        """Count a three-way merge."""
        self._merges.inc()

    def stream_opened(self) -> None:
        """Count an event stream in."""
        self._streams.inc()

    def stream_closed(self) -> None:
        """Count an event stream out."""
        self._streams.dec()

    def render(self) -> bytes:
        """Render everything in the text format of Prometheus."""
        return generate_latest(self._registry)
