"""A histogram of durations that costs little to add to.

``prometheus_client.Histogram`` takes two locks for each duration and looks for its bucket one by
one; here everything happens in one thread. What is shown is the same.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector


class _Series:
    """The durations with the same labels."""

    __slots__ = ("counts", "created", "sum_s")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum_s = 0.0
        self.created = time.time()


class Durations(Collector):
    """Count durations by labels and length.

    Args:
        name: Of the metric.
        documentation: Of the metric.
        labels: Their names.
        buckets_s: Upper bounds, included, in seconds, rising and below 1e6; a last bucket without
            bound is added.
        registry: Where it is shown.
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        *,
        buckets_s: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds_s = buckets_s
        self._shown_bounds = [*map(str, buckets_s), "+Inf"]
        self._series: dict[tuple[str | int, ...], _Series] = {}
        registry.register(self)

    def observe(self, values: tuple[str | int, ...], duration_s: float) -> None:
        """Add a duration; ``values`` are those of the labels."""
        series = self._series.get(values)
        if series is None:
            series = self._series[values] = _Series(len(self._shown_bounds))
        series.counts[bisect_left(self._bounds_s, duration_s)] += 1
        series.sum_s += duration_s

    def describe(self) -> Iterable[Metric]:
        """Tell the name, without values."""
        return [Metric(self._name, self._documentation, "histogram")]

    def collect(self) -> Iterable[Metric]:
        """Show everything."""
        [metric] = self.describe()
        for values, series in self._series.items():
            labels = dict(zip(self._labels, map(str, values), strict=True))
            totals = list(accumulate(series.counts))
            for bound, total in zip(self._shown_bounds, totals, strict=True):
                metric.add_sample(f"{self._name}_bucket", {**labels, "le": bound}, total)
            metric.add_sample(f"{self._name}_count", labels, totals[-1])
            metric.add_sample(f"{self._name}_sum", labels, series.sum_s)
            metric.add_sample(f"{self._name}_created", labels, series.created)
        return [metric]


__all__ = ["Durations"]
