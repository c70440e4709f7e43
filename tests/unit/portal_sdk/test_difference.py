"""What a snapshot changes is found in pieces, and is what was different."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from portal_sdk._core.difference import Comparison, all_deleted, compare
from portal_sdk._core.feed import FeedChange, Snapshot
from portal_sdk._core.replica import Replica
from portal_sdk._runtime.pieces import run_in_pieces

IDS = st.sampled_from([f"row-{i}" for i in range(8)])
TABLES = st.dictionaries(
    st.sampled_from(["jobs", "messages", "ledger"]), st.dictionaries(IDS, st.integers(1, 3))
)


def rows_of(versions: dict[str, dict[str, int]]) -> dict[str, dict[str, dict[str, Any]]]:
    return {
        table: {row_id: {"id": row_id, "version": version} for row_id, version in rows.items()}
        for table, rows in versions.items()
    }


def flat(tables: Any) -> dict[tuple[str, str], Any]:
    return {(table, i): row for table, rows in tables.items() for i, row in rows.items()}


def finished(work: Generator[None, None, Comparison]) -> tuple[Comparison, int]:
    pieces = 0
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value, pieces
        pieces += 1


@given(TABLES, TABLES, st.integers(1, 5))
def test_the_changes_lead_from_the_rows_shown_to_the_snapshot(
    before: dict[str, dict[str, int]], after: dict[str, dict[str, int]], piece_rows: int
) -> None:
    replica = Replica()
    replica.load("e", 1, rows_of(before))
    shown = replica.tables
    snapshot = Snapshot("f", 7, rows_of(after), {})
    found, pieces = finished(compare(shown, snapshot, is_reported=True, piece_rows=piece_rows))
    assert pieces >= max([len(rows) // piece_rows for rows in after.values()], default=0)
    assert flat(shown) == flat(rows_of(before)), "nothing is shown before it is taken over"
    replica.take("f", 7, found)
    replica.apply(FeedChange(8, "jobs", "row-0", False, {"id": "row-0", "version": 9}))
    replica.apply(FeedChange(9, "jobs", "row-1", True, None))
    assert flat(snapshot.tables) == flat(rows_of(after)), "these are being stored"
    told = list(found.changes)
    assert told == list(found.changes)
    assert bool(told) == bool(found.changes)
    kinds = [change.kind == "delete" for change in told]
    assert kinds == sorted(kinds, reverse=True), "deletes first"
    rows = flat(rows_of(before))
    for change in told:
        key = (change.table, change.row_id)
        assert change.n == 7
        assert change.previous == rows.get(key)
        assert (change.kind == "insert") == (key not in rows)
        if change.kind == "delete":
            assert rows.pop(key) == change.row
        else:
            assert rows.get(key) != change.row
            rows[key] = change.row
    assert rows == flat(snapshot.tables)


@given(TABLES, TABLES)
def test_a_starting_point_is_no_news_and_is_counted_all_the_same(
    before: dict[str, dict[str, int]], after: dict[str, dict[str, int]]
) -> None:
    snapshot = Snapshot("f", 7, rows_of(after), {})
    found, _ = finished(compare(rows_of(before), snapshot, is_reported=False))
    assert not found.changes
    taken, loaded = Replica(), Replica()
    taken.take("f", 7, found)
    loaded.load("f", 7, rows_of(after))
    assert (taken.tables, taken.digests, taken.shapes) == (
        loaded.tables, loaded.digests, loaded.shapes,
    )  # fmt: skip


def test_what_is_taken_back_is_gone_at_once_and_told_afterwards() -> None:
    replica = Replica()
    replica.load("e", 3, rows_of({"jobs": {"a": 1, "b": 2}, "messages": {}}))
    reader = replica.tables["jobs"]
    deletes = replica.purge()
    assert (replica.tables, replica.epoch, replica.n) == ({}, None, 0)
    assert replica.matches({"jobs": Replica().digest_of("jobs")})
    assert len(reader) == 2, "whoever reads meanwhile sees all rows or none"
    assert deletes
    assert [(c.kind, c.row_id, c.row["version"]) for c in deletes] == [
        ("delete", "a", 1), ("delete", "b", 2),
    ]  # fmt: skip
    assert not all_deleted({"jobs": {}})


async def test_others_have_a_turn_between_two_pieces_and_unwanted_work_ends() -> None:
    turns: list[str] = []

    def work() -> Generator[None, None, str]:
        try:
            for _ in range(4):
                turns.append("piece")
                yield
            return "done"
        finally:
            turns.append("end")

    async def other() -> None:
        for _ in range(3):
            turns.append("other")
            await asyncio.sleep(0)

    doing = asyncio.create_task(run_in_pieces(work(), lambda: True))
    await other()
    assert await doing == "done"
    assert turns == ["other", "piece"] * 3 + ["piece", "end"]
    turns.clear()
    assert await run_in_pieces(work(), lambda: len(turns) < 2) is None
    assert turns == ["piece", "piece", "end"]
