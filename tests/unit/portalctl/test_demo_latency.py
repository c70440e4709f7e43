"""Percentiles are nearest-rank, and honest about having no values."""

from portalctl.demo.latency import LatencySummary, percentile


def test_percentiles_are_values_that_were_measured():
    summary = LatencySummary.of([float(value) for value in range(100, 0, -1)])
    assert summary == LatencySummary(count=100, p50_ms=50.0, p95_ms=95.0, p99_ms=99.0)


def test_one_value_is_every_percentile():
    assert LatencySummary.of([7.25]).as_json() == {"p50": 7.25, "p95": 7.25, "p99": 7.25}


def test_no_values_have_no_percentiles():
    assert LatencySummary.of([]).as_json() == {"p50": None, "p95": None, "p99": None}


def test_the_slowest_value_is_never_hidden():
    assert percentile([1.0, 2.0, 3.0, 400.0], 0.99) == 400.0
