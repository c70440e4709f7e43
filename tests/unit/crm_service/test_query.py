"""Addresses of calls to PostgREST."""

from urllib.parse import parse_qsl

from hypothesis import given
from hypothesis import strategies as st

from crm_service.database import render_query

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(TEXT, TEXT)))
def test_a_query_arrives_as_it_was_meant(pairs):
    """Whatever the values are: none of it can begin another parameter or another address."""
    query = render_query(pairs)
    assert query.isascii()
    assert not set(query) & set(' \r\n"#?')
    assert parse_qsl(query, keep_blank_values=True, strict_parsing=bool(pairs)) == pairs
