"""A snapshot read in pieces is the snapshot."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_sdk._core.difference import compare_at_once
from portal_sdk._core.replica import Replica
from portal_sdk._core.snapshot import SnapshotBuilder, read_snapshot, split_snapshot
from portal_sdk.errors import ProtocolError

# Everything that looks like the place between two rows.
TRICKY = st.sampled_from(
    ["},{", '},{"', '"},{"id":"', "]}}", '\\"},{', "},\n {", "}]", "a", "", "\\", "ü", "😀"]
)
VALUES = st.recursive(
    TRICKY | st.integers(-5, 5) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TRICKY, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(TRICKY, VALUES, max_size=3), max_size=6)
DOCUMENTS = st.fixed_dictionaries(
    {
        "n": st.just(1),
        "tables": st.dictionaries(TRICKY, ROWS, max_size=3),
        "other": st.dictionaries(TRICKY, ROWS, max_size=3) | VALUES,
    }
)


@given(DOCUMENTS, st.integers(1, 60), st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", ":")]))
def test_pieces_put_together_are_the_whole(
    document: dict[str, Any], size: int, separators: tuple[str, str]
) -> None:
    for order in (document, dict(reversed(document.items()))):
        body = json.dumps(order, separators=separators, ensure_ascii=False).encode()
        found: dict[str, Any] = {"tables": {}}
        for piece in split_snapshot(body, size):
            for table, rows in piece.get("tables", {}).items():
                found["tables"].setdefault(table, []).extend(rows)
            found |= {key: value for key, value in piece.items() if key != "tables"}
        assert found == document


def test_a_large_answer_comes_in_many_pieces_and_a_broken_one_is_refused() -> None:
    rows = [{"id": str(i), "tags": [{"a": 1}, {"a": 2}]} for i in range(1000)]
    body = json.dumps({"n": 1, "tables": {"jobs": rows, "messages": rows}, "digest": {}}).encode()
    pieces = list(split_snapshot(body, 1000))
    assert len(pieces) > 60
    assert sum(len(piece.get("tables", {}).get("messages", [])) for piece in pieces) == 1000
    for broken in (body[:-1], body[: len(body) // 2], body.replace(b'"900"', b'"900', 1)):
        with pytest.raises(ValueError, match="at line"):
            list(split_snapshot(broken, 1000))


def _read(document: Any, shown: Any) -> Any:
    reading = read_snapshot(json.dumps(document).encode(), shown)
    while True:
        try:
            next(reading)
        except StopIteration as end:
            return end.value


def test_what_is_counted_while_reading_is_what_the_rows_say_and_equal_rows_are_kept_once() -> None:
    rows = [{"id": str(i), "version": i % 7, "title": "x"} for i in range(50)]
    document = {"epoch": "e", "n": 3, "digest": {}, "tables": {"jobs": rows, "messages": []}}
    shown = {"jobs": {row["id"]: dict(row) for row in rows}}
    shown["jobs"]["4"]["title"] = "old"
    snapshot = _read(document, shown)
    counted, known = Replica(), Replica()
    counted.load("e", 3, snapshot.tables)
    known.load("e", 3, {name: dict(rows) for name, rows in snapshot.tables.items()}, snapshot.known)
    assert known.digests == counted.digests
    assert known.shapes == counted.shapes
    same = [i for i, row in snapshot.tables["jobs"].items() if row is shown["jobs"][i]]
    assert len(same) == 49
    assert "4" not in same


def test_a_resync_with_counted_rows_tells_the_same_differences() -> None:
    before = {str(i): {"id": str(i), "version": 1} for i in range(9)}
    after = [{"id": str(i), "version": 1 + (i == 3)} for i in range(2, 12)]
    document = {"epoch": "f", "n": 5, "digest": {}, "tables": {"jobs": after}}
    told = []
    for is_counted in (False, True):
        replica = Replica()
        replica.load("e", 3, {"jobs": dict(before)})
        snapshot = _read(document, replica.tables)
        if not is_counted:
            snapshot = replace(snapshot, known={})
        comparison = compare_at_once(replica.tables, snapshot, is_reported=True)
        replica.take("f", 5, comparison)
        told.append(list(comparison.changes))
        fresh = Replica()
        fresh.load("f", 5, snapshot.tables)
        assert (replica.tables, replica.digests) == (fresh.tables, fresh.digests)
    assert told[0] == told[1]
    kinds = [(change.kind, change.row_id) for change in told[0]]
    assert kinds == [
        ("delete", "0"), ("delete", "1"), ("update", "3"),
        ("insert", "9"), ("insert", "10"), ("insert", "11"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "body", [{}, [], {"tables": []}, {"tables": {"jobs": 1}}, {"tables": {"jobs": [{"x": 1}]}}]
)
def test_an_answer_of_another_shape_is_refused(body: Any) -> None:
    def read() -> None:
        builder = SnapshotBuilder({})
        builder.add(body)
        builder.finish()

    with pytest.raises(ProtocolError, match="without a valid"):
        read()
