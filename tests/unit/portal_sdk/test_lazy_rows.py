"""Rows that are parsed late behave like a dict that had them from the start."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal_sdk._store import lazy_rows
from portal_sdk._store.lazy_rows import LazyRows

IDS = st.sampled_from("abcdef")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("get"), IDS),
        st.tuples(st.just("set"), IDS),
        st.tuples(st.just("pop"), IDS),
        st.tuples(st.sampled_from(["items", "values", "keys"]), st.just("")),
    ),
    max_size=30,
)


def _bodies(ids: set[str]) -> dict[str, bytes]:
    return {row_id: json.dumps({"id": row_id}).encode() for row_id in ids}


@given(st.sets(IDS), STEPS)
def test_they_are_a_dict(ids: set[str], steps: list[tuple[str, str]]) -> None:
    rows, model = LazyRows(_bodies(ids)), {row_id: {"id": row_id} for row_id in ids}
    for number, (step, row_id) in enumerate(steps):
        row: dict[str, Any] = {"id": row_id, "n": number}
        match step:
            case "get":
                assert rows.get(row_id) == model.get(row_id)
                assert rows.get(row_id) is rows.get(row_id)
            case "set":
                rows[row_id] = model[row_id] = row
            case "pop":
                assert rows.pop(row_id, None) == model.pop(row_id, None)
            case "items":
                assert dict(rows.items()) == model
            case "values":
                assert sorted(map(str, rows.values())) == sorted(map(str, model.values()))
            case _:
                assert sorted(rows) == sorted(model)
        assert len(rows) == len(model)
        assert all((each in rows) == (each in model) for each in "abcdef")
    assert rows == model


def test_a_row_taken_away_while_a_thread_parses_it_stays_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The owner deletes in the middle of a reader's parsing: the row must not come back."""
    rows = LazyRows(_bodies({"a"}))
    owner = threading.Thread(target=lambda: rows.pop("a"))

    def parse_slowly(body: bytes) -> Any:
        owner.start()
        owner.join(0.1)
        return json.loads(body)

    monkeypatch.setattr(lazy_rows, "from_json", parse_slowly)
    rows.get("a")
    owner.join()
    assert list(rows) == []
