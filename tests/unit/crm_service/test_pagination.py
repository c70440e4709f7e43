"""Cursors."""

import base64
from datetime import UTC
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_service.errors import InvalidRequestError
from crm_service.pagination import PageRequest, Position, parse_cursor, render_cursor

VALUES = st.one_of(
    st.datetimes(timezones=st.just(UTC)).map(lambda at: at.isoformat()),
    st.integers(),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
)


@given(value=VALUES, row_id=st.uuids())
def test_a_cursor_returns_to_its_position(value, row_id):
    """Rendering and parsing lose nothing, microseconds and strange names included."""
    position = Position(value, str(row_id))
    assert parse_cursor(render_cursor("-name", position), "-name") == position


def test_a_cursor_belongs_to_its_order():
    """Continuing in another order would skip rows: it is refused."""
    cursor = render_cursor("-name", Position("Ada", str(UUID(int=1))))
    with pytest.raises(InvalidRequestError, match="another order"):
        parse_cursor(cursor, "name")


@given(text=st.text(max_size=80))
def test_any_other_text_is_refused(text):
    """A made-up cursor is one clear refusal and never a crash."""
    with pytest.raises(InvalidRequestError):
        parse_cursor(text, "-created_at")


@pytest.mark.parametrize(
    "value",
    [
        "[1, 2]",
        '["-created_at", "2026-01-01", "x"]',
        '["-created_at", null, "00000000-0000-0000-0000-000000000001"]',
        '["-created_at", true, "00000000-0000-0000-0000-000000000001"]',
        "{}",
        "null",
        "[]",
    ],
)
def test_other_json_is_refused(value):
    """JSON of another shape is not a cursor."""
    with pytest.raises(InvalidRequestError):
        parse_cursor(base64.urlsafe_b64encode(value.encode()).decode(), "-created_at")


def test_asks_for_one_row_more_behind_the_position():
    """Order and position use the same key; values are quoted for PostgREST's logic syntax."""
    row_id = UUID(int=1)
    query = PageRequest(2, Position("2026-01-01T00:00:00+00:00", str(row_id))).query()
    at, quoted_id = '"2026-01-01T00:00:00+00:00"', f'"{row_id}"'
    assert query == [
        ("order", "created_at.desc,id.desc"),
        ("limit", "3"),
        ("or", f"(created_at.lt.{at},and(created_at.eq.{at},id.lt.{quoted_id}))"),
    ]


def test_a_sorted_list_leaves_out_rows_without_a_value():
    """They have no place in the order, so no cursor could stand behind them."""
    query = PageRequest(2, Position('a"b\\c', "k"), sort="name").query("customer_id")
    assert query == [
        ("order", "name.asc,customer_id.asc"),
        ("limit", "3"),
        ("name", "not.is.null"),
        ("or", '(name.gt."a\\"b\\\\c",and(name.eq."a\\"b\\\\c",customer_id.gt."k"))'),
    ]
