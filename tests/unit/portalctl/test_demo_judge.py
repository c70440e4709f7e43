"""Putting the demo's verdict together."""

import io

import pytest
from rich.console import Console

from portalctl.demo.checker import CacheDifference, ChangeKey, Counts, ExpectedChange
from portalctl.demo.judge import Observation, Received, measure
from portalctl.demo.latency import LatencySummary
from portalctl.demo.oracle import Truth
from portalctl.demo.report import DemoResult, write_problems, write_summary

MS = 1_000_000
SENT = ChangeKey("jobs", "job-1", 2)
MISSED = ChangeKey("jobs", "job-1", 3)
UNTIMED = ChangeKey("messages", "message-1", 1)


def test_latency_runs_from_sending_to_the_first_callback():
    received = [
        Received(SENT, "update", "live", 1_007 * MS),
        Received(UNTIMED, "update", "live", 1_500 * MS),
        Received(SENT, "update", "live", 2_000 * MS),
        Received(MISSED, "update", "catch_up", 1_900 * MS),
    ]
    latencies = measure({SENT: 1_000 * MS, MISSED: 1_500 * MS}, received)
    assert latencies.live == LatencySummary.of([7.0])
    assert latencies.catch_up == LatencySummary.of([400.0])
    assert latencies.every == LatencySummary.of([7.0, 400.0])


def observation(**changes) -> Observation:
    row = {"id": "job-1", "version": 2}
    facts = {
        "email": "customer001@example.com",
        "before": Truth(n=4, log=(), rows={"jobs": {"job-1": {"id": "job-1", "version": 1}}}),
        "after": Truth(n=5, log=(ExpectedChange(SENT),), rows={"jobs": {"job-1": row}}),
        "received": (Received(SENT, "update", "live", 0),),
        "cache": {"jobs": {"job-1": row}},
    }
    return Observation(**{**facts, **changes})


def test_a_customer_who_got_everything_has_nothing_to_say():
    assert observation().counts == Counts(expected=1, received=1)
    assert observation().differences == ()


def test_a_row_that_was_visible_only_before_is_not_foreign():
    before = Truth(n=4, log=(), rows={"jobs": {"job-9": {"id": "job-9", "version": 1}}})
    late = Received(ChangeKey("jobs", "job-9", 1), "update", "live", 0)
    counts = observation(before=before, received=(Received(SENT, "update", "live", 0), late)).counts
    assert (counts.duplicated, counts.leaked) == (1, 0)


def test_a_row_that_never_was_visible_is_leaked():
    foreign = Received(ChangeKey("jobs", "job-9", 1), "update", "live", 0)
    assert observation(received=(Received(SENT, "update", "live", 0), foreign)).counts.leaked == 1


def test_a_stale_cache_is_found_although_every_change_arrived():
    stale = observation(cache={"jobs": {"job-1": {"id": "job-1", "version": 1}}})
    assert stale.counts.clean
    assert stale.differences == (CacheDifference("jobs", "job-1", "differs", ("version",)),)


def result(**changes) -> DemoResult:
    facts = {
        "writes": 10,
        "counts": Counts(expected=7, received=7),
        "latency": LatencySummary.of([5.0, 6.0]),
        "live": LatencySummary.of([5.0]),
        "catch_up": LatencySummary.of([6.0]),
        "cut_connections": 30,
        "cache_differences": (),
        "not_live": (),
        "seconds": 20.0,
    }
    return DemoResult(**{**facts, **changes})


def test_the_json_has_exactly_the_promised_keys():
    assert result().as_json() == {
        "writes": 10, "expected": 7, "received": 7,
        "lost": 0, "duplicated": 0, "out_of_order": 0, "leaked": 0,
        "latency_ms": {"p50": 5.0, "p95": 6.0, "p99": 6.0},
    }  # fmt: skip


def test_a_clean_run_passes():
    assert result().passed


@pytest.mark.parametrize(
    "fault",
    [
        {"counts": Counts(7, 6, lost=1)},
        {"counts": Counts(7, 8, duplicated=1)},
        {"counts": Counts(7, 7, out_of_order=1)},
        {"counts": Counts(7, 8, leaked=1)},
        {"counts": Counts(0, 0)},
        {"cache_differences": (("a@b", CacheDifference("jobs", "job-1", "missing")),)},
        {"not_live": (("a@b", "stale"),)},
    ],
    ids=lambda fault: str(next(iter(fault.values()))),
)
def test_any_fault_fails_the_run_and_is_shown(fault):
    failed = result(**fault)
    assert not failed.passed
    shown = io.StringIO()
    console = Console(file=shown, width=100)
    write_summary(failed, console)
    write_problems(failed, console)
    clean = io.StringIO()
    write_summary(result(), Console(file=clean, width=100))
    assert shown.getvalue() != clean.getvalue()
