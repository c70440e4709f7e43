"""Prometheus metrics of one application; names of routes and codes only, never ids or people."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
# How many durations wait, at most, to be sorted into their buckets.
_MAX_WAITING = 200
_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class Metrics:
    """Counters and histograms; one instance per application, safe to have many in a process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests_s = Histogram(
            "crm_request_duration_seconds",
            "Time from the request's arrival to the end of its answer.",
            ("method", "route", "status"),
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        running = Gauge("crm_requests_running", "Requests being answered.", registry=self._registry)
        self._running = 0
        running.set_function(lambda: self._running)
        self._database_s = Histogram(
            "crm_database_call_duration_seconds",
            "Time of one call to PostgREST.",
            ("method", "outcome"),
            buckets=_BUCKETS_S,
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
        # Looking a series up by its labels costs more than counting.
        self._of_requests: dict[tuple[str, str, int | None], Histogram] = {}
        self._of_calls: dict[tuple[str, str], Histogram] = {}
        # Many in a row are cheaper than each between other work.
        self._waiting: list[tuple[Histogram, float]] = []

    def request_started(self) -> None:
        """Count a request in."""
        self._running += 1

    def request_ended(self, method: str, route: str, status: int | None, duration_s: float) -> None:
        """Count a request out; ``status`` None if the caller went away."""
        self._running -= 1
        key = (method, route, status)
        series = self._of_requests.get(key)
        if series is None:
            series = self._requests_s.labels(method, route, str(status or "none"))
            self._of_requests[key] = series
        self._observe(series, duration_s)

    def database_call(self, method: str, outcome: str, duration_s: float) -> None:
        """Record a call to PostgREST; ``outcome`` is a status or the kind of failure."""
        key = (method, outcome)
        series = self._of_calls.get(key)
        if series is None:
            series = self._of_calls[key] = self._database_s.labels(method, outcome)
        self._observe(series, duration_s)

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
        self._sort_in()
        return generate_latest(self._registry)

    def _observe(self, series: Histogram, duration_s: float) -> None:
        self._waiting.append((series, duration_s))
        if len(self._waiting) >= _MAX_WAITING:
            self._sort_in()

    def _sort_in(self) -> None:
        waiting, self._waiting = self._waiting, []
        for series, duration_s in waiting:
            series.observe(duration_s)
