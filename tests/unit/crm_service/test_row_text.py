"""Rows as PostgreSQL prints them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_service.row_text import RowsText

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def printed(rows):
    """Print rows as json_agg does."""
    return b"[" + b", \n ".join(json.dumps(row).encode() for row in rows) + b"]"


@given(st.lists(st.dictionaries(st.text(), VALUES, min_size=1, max_size=4), max_size=6))
def test_rows_are_counted_and_the_last_one_is_cut_off(rows):
    """Whatever they hold; one row alone is left to be read."""
    text = RowsText(printed(rows))
    assert bool(text) == bool(rows)
    assert text.count == (None if len(rows) == 1 else len(rows))
    if len(rows) > 1:
        without, before = text.without_last()
        assert json.loads(without) == rows[:-1]
        assert json.loads(before) == rows[-2]
        assert json.loads(text.first()) == rows[0]


@pytest.mark.parametrize(
    "text",
    [b'[{"a":1},{"a":2}]', b'[{"a":1}]', b"<html>, \n </html>", b'[{"a":1}, \n {"a":2}', b""],
)
def test_what_postgresql_did_not_print_is_not_counted(text):
    """It has to be read."""
    assert RowsText(text).count is None
