"""Our histogram shows what that of ``prometheus_client`` would show."""

import re

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from crm_service.durations import Durations

BUCKETS_S = (0.002, 0.05, 1.0, 10.0)
NAME, TEXT, LABELS = "crm_waits_seconds", 'Of "a" kind\\.', ("method", "status")
DURATIONS = st.sampled_from([*BUCKETS_S, 0.0, 0.05 + 1e-12, 11.0]) | st.floats(0, 100)


@given(st.lists(st.tuples(st.sampled_from(["GET", 'P"']), st.sampled_from([200, 503]), DURATIONS)))
def test_the_same_durations_are_shown_alike(waits):
    """Buckets, counts and sums, in both formats; a bound belongs to its bucket."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    own = Durations(NAME, TEXT, LABELS, buckets_s=BUCKETS_S, registry=ours)
    its = Histogram(NAME, TEXT, LABELS, buckets=BUCKETS_S, registry=theirs)
    for method, status, wait_s in waits:
        own.observe((method, status), wait_s)
        its.labels(method, status).observe(wait_s)
    for render in (generate_latest, openmetrics.generate_latest):
        assert _without_times(render(ours)) == _without_times(render(theirs))


def _without_times(text):
    """Leave out when a series was begun, but for that it is a time of this century."""
    return re.sub(rb"(_created\{.*\}) [12]\.\d+e\+09", rb"\1 now", text)
