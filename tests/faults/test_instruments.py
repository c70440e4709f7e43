"""The instruments of the fault matrix: frames cut anywhere, and runs that saw too little."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.counters import WRONGS
from tests.faults.frames import TEXT, Frame, in_pieces, take_frames
from tests.faults.matrix import FAULTS, faults_for
from tests.faults.soak import report, too_little

ENOUGH: dict[str, Any] = {
    "faults": 1_000, "changes_written": 20_000, "writer_overlaps_per_s": 1.0,
}  # fmt: skip


@given(
    payloads=st.lists(st.binary(max_size=300) | st.just(b"x" * 70_000), max_size=4),
    cuts=st.lists(st.integers(0, 5_000), max_size=10),
)
def test_frames_are_read_however_they_are_cut(payloads: list[bytes], cuts: list[int]) -> None:
    frames = [Frame(TEXT, payload) for payload in payloads]
    wire = b"".join(frame.encode() for frame in frames)
    buffer, found = bytearray(), []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(wire)], strict=True):
        buffer += wire[start:end]
        found += take_frames(buffer)
    assert found == frames
    assert not buffer


@given(st.binary(max_size=50))
def test_pieces_are_one_message(payload: bytes) -> None:
    pieces = in_pieces(Frame(TEXT, payload), 1)
    assert b"".join(piece.payload for piece in pieces) == payload
    assert [piece.is_final for piece in pieces] == [False] * (len(pieces) - 1) + [True]


@pytest.mark.parametrize("name", ENOUGH)
def test_a_run_that_saw_too_little_does_not_count(name: str) -> None:
    assert too_little(ENOUGH) == []
    assert len(too_little({**ENOUGH, name: ENOUGH[name] * 0.9})) == 1


@pytest.mark.parametrize("wrong", [None, *WRONGS])
def test_a_run_ends_with_zero_only_if_it_counts_and_found_nothing(wrong: str | None) -> None:
    seen = {name: int(name == wrong) for name in WRONGS}
    run = {**ENOUGH, "changes_seen": 1, "judgements": 1, **seen, "details": []}
    assert report({"polling": run}) == (0 if wrong is None else 1)
    assert report({"polling": {**run, "faults": 1}}) == 1


def test_every_fault_has_a_name_of_its_own() -> None:
    """Counts by name would hide a fault that shares one."""
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_a_portal_that_polls_is_spared_what_needs_a_socket() -> None:
    kinds = {short: faults_for("polling", short=short) for short in (True, False)}
    assert not any(fault.needs_socket for faults in kinds.values() for fault in faults)
    assert len(kinds[True]) < len(kinds[False])
