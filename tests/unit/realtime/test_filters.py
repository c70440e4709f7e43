"""The filter language, bindings and their ids."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_stack.realtime.changes.bindings import Binding, legacy_binding, make_binding_id
from local_stack.realtime.changes.filters import Condition, parse_filter, split_conditions
from local_stack.realtime.errors import SubscriptionError


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("", []),
        ("   ", []),
        ("a=eq.1", [Condition("a", "eq", "1", False)]),
        (
            "a=not.in.(1,2), b=is.null",
            [
                Condition("a", "in", "{1,2}", True),
                Condition("b", "is", "null", False),
            ],
        ),
        ('a=eq."x,y"', [Condition("a", "eq", "x,y", False)]),
        ('a=eq."say \\"hi\\""', [Condition("a", "eq", 'say "hi"', False)]),
        ('a=in.("b,c",d)', [Condition("a", "in", '{"b,c",d}', False)]),
        ("a=eq.b=c.d", [Condition("a", "eq", "b=c.d", False)]),
        ("a=eq.", [Condition("a", "eq", "", False)]),
    ],
)
def test_filters_are_read(text: str, conditions: list[Condition]) -> None:
    assert parse_filter(text) == conditions


@given(st.text(alphabet='ab=.,()"\\ not.in.eq', max_size=40))
def test_any_text_is_conditions_or_a_refusal(text: str) -> None:
    with contextlib.suppress(SubscriptionError):
        assert all(isinstance(condition, Condition) for condition in parse_filter(text))


@given(st.lists(st.text(alphabet="abc=.", min_size=1)))
def test_plain_segments_are_split_at_every_comma(segments: list[str]) -> None:
    assert split_conditions(",".join(segments)) == (segments or [""])


@given(st.dictionaries(st.text(), st.text() | st.none() | st.lists(st.text())))
def test_ids_are_stable_and_in_range(params: dict[str, object]) -> None:
    reordered = dict(reversed(params.items()))
    assert make_binding_id(params) == make_binding_id(reordered)
    assert 1 <= make_binding_id(params) < 2**27


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({"event": "*"}, '%{"event" => "*"}'),
        ({}, "%{}"),
        ({"schema": "s", "table": None}, '%{"schema" => "s", "table" => nil}'),
        ({"filter": "a=eq.1"}, '%{"filter" => "a=eq.1"}'),
        ({"user_token": "secret"}, "<redacted>"),
    ],
)
def test_bindings_without_a_target_are_refused(params: dict[str, object], shown: str) -> None:
    with pytest.raises(SubscriptionError) as caught:
        Binding.parse(params).to_target()
    assert caught.value.message == (
        "No subscription params provided. Please provide at least a `schema` or `table` "
        f"to subscribe to: {shown}"
    )


def test_a_legacy_topic_names_schema_table_and_filter() -> None:
    target = legacy_binding("public:t:a=eq.x:y").to_target()
    assert (target.schema, target.table) == ("public", "t")
    assert target.filters == (Condition("a", "eq", "x:y", False),)
