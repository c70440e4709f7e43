"""From HTTP to an API request: targets, methods, profiles, ranges, bodies, preferences."""

from typing import Any

import pytest

from local_stack.rest.config import RestConfig
from local_stack.rest.errors import RestError
from local_stack.rest.media import negotiate
from local_stack.rest.preferences import parse_preferences
from local_stack.rest.request import ApiRequest, HttpRequest, parse_request
from local_stack.rest.syntax import Window


def parse(
    method: str = "GET", path: str = "/t", query: str = "", body: bytes = b"", **headers: str
) -> ApiRequest:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return parse_request(
        HttpRequest(method, path, query, named, body), RestConfig(), frozenset({"UTC"})
    )


def refusal(*args: Any, **kwargs: Any) -> RestError:
    with pytest.raises(RestError) as caught:
        parse(*args, **kwargs)
    return caught.value


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/t", "read"),
        ("HEAD", "/t", "read"),
        ("POST", "/t", "insert"),
        ("PATCH", "/t", "update"),
        ("DELETE", "/t", "delete"),
        ("OPTIONS", "/t", "info"),
        ("GET", "/rpc/f", "call"),
        ("POST", "/rpc/f", "call"),
        ("OPTIONS", "/rpc/f", "info"),
    ],
)
def test_method_and_path_give_the_action(method, path, action):
    assert parse(method, path, body=b"{}").action == action


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "PGRST126"),
        ("GET", "/a/b", 404, "PGRST125"),
        ("GET", "/rpc/a/b", 404, "PGRST125"),
        ("TRACE", "/t", 405, "PGRST117"),
        ("PATCH", "/rpc/f", 405, "PGRST101"),
        ("PUT", "/t", 400, "PGRST127"),
    ],
)
def test_other_paths_and_methods_are_refused(method, path, status, code):
    error = refusal(method, path)
    assert (error.status, error.code) == (status, code)


def test_only_exposed_schemas_may_be_asked_for():
    error = refusal(accept_profile="private")
    assert (error.status, error.code) == (406, "PGRST106")
    assert error.message == "Invalid schema: private"
    assert error.hint == "Only the following schemas are exposed: public"
    assert refusal("POST", body=b"{}", content_profile="auth").code == "PGRST106"
    assert parse(accept_profile="public").by_profile


def test_a_quoted_path_segment_is_decoded():
    assert parse(path="/odd%20name").target == "odd name"


@pytest.mark.parametrize(
    ("query", "header", "expected"),
    [
        ("limit=2&offset=3", None, Window(3, 2)),
        ("", "0-9", Window(0, 10)),
        ("", "5-", Window(5, None)),
        ("limit=3", "0-9", Window(0, 3)),
        ("limit=0", None, Window(0, 0)),
        ("offset=5&limit=10", "7-8", Window(7, 2)),
        ("", "bytes=x", Window()),
    ],
)
def test_limit_offset_and_range_are_intersected(query, header, expected):
    headers = {"range": header} if header else {}
    assert parse(query=query, **headers).window == expected


def test_impossible_ranges_are_416():
    assert "lower boundary" in refusal(range="9-1").details
    assert refusal(query="limit=-1").status == 416


def test_range_header_counts_on_get_only():
    assert parse("POST", body=b"{}", range="0-1").window == Window()


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_limits_on_writes_are_refused(method):
    assert refusal(method, query="limit=1", body=b"{}").code == "PGRST127"


@pytest.mark.parametrize(
    ("body", "keys", "single"),
    [
        (b'{"a":1,"b":2}', {"a", "b"}, True),
        (b'[{"a":1},{"a":2}]', {"a"}, False),
        (b"[]", set(), False),
        (b"{}", set(), True),
        (b"5", set(), False),
    ],
)
def test_bodies_name_their_columns(body, keys, single):
    payload = parse("POST", body=body).payload
    assert payload is not None
    assert (payload.keys, payload.is_object) == (keys, single)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Empty or invalid json"),
        (b"{", "Empty or invalid json"),
        (b"\xff", "Empty or invalid json"),
        (b'{"a": NaN}', "Empty or invalid json"),
        (b"[" * 100_000, "Empty or invalid json"),
        (b'[{"a":1},{"b":1}]', "All object keys must match"),
        (b"[1]", "All object keys must match"),
    ],
)
def test_bad_bodies_are_refused(body, message):
    error = refusal("POST", body=body)
    assert (error.status, error.code, error.message) == (400, "PGRST102", message)


def test_other_content_types_are_refused():
    error = refusal("POST", body=b"a,b", content_type="text/csv")
    assert error.message == "Content-Type not acceptable: text/csv"


def test_columns_parameter_wins_over_the_keys_of_the_body():
    payload = parse("POST", query="columns=a", body=b'[{"a":1,"b":2},{"a":1}]').payload
    assert payload is not None
    assert payload.keys == {"a"}


def test_a_function_may_be_called_without_a_body():
    payload = parse("POST", "/rpc/f").payload
    assert payload is not None
    assert payload.text == "{}"


@pytest.mark.parametrize(
    ("accept", "single", "stripped"),
    [
        (None, False, False),
        ("*/*", False, False),
        ("text/html, application/json;q=0.9", False, False),
        ("application/vnd.pgrst.object+json", True, False),
        ("application/vnd.pgrst.object+json;nulls=stripped", True, True),
        ("application/vnd.pgrst.array+json; nulls=stripped", False, True),
    ],
)
def test_accept_chooses_the_representation(accept, single, stripped):
    found = negotiate(accept)
    assert (found.single, found.strip_nulls) == (single, stripped)


@pytest.mark.parametrize(
    "accept", ["text/csv", "application/geo+json", "application/vnd.pgrst.plan+json", "x;q=y", ";"]
)
def test_media_types_that_are_not_built_are_406(accept):
    with pytest.raises(RestError) as caught:
        negotiate(accept)
    assert (caught.value.status, caught.value.code) == (406, "PGRST107")


def test_preferences_are_read_and_rendered():
    found = parse_preferences(
        ["return=representation, count=exact", "timezone=UTC,max-affected=5,handling=strict"],
        frozenset({"UTC"}),
        allow_transaction=False,
    )
    assert found.represents
    assert found.max_affected == 5
    names = {"return", "count", "handling", "timezone", "max-affected"}
    assert found.applied(names) == (
        "return=representation, count=exact, handling=strict, timezone=UTC, max-affected=5"
    )


def test_unknown_preferences_are_refused_only_when_strict():
    strict = parse_preferences(
        ["handling=strict, foo, bar=1"], frozenset(), allow_transaction=False
    )
    with pytest.raises(RestError) as caught:
        strict.refuse_invalid()
    assert caught.value.code == "PGRST122"
    assert caught.value.details == "Invalid preferences: foo, bar=1"
    lenient = parse_preferences(["handling=lenient, foo"], frozenset(), allow_transaction=False)
    lenient.refuse_invalid()


def test_the_transaction_preference_needs_permission():
    denied = parse_preferences(["tx=rollback"], frozenset(), allow_transaction=False)
    allowed = parse_preferences(["tx=rollback"], frozenset(), allow_transaction=True)
    assert (denied.transaction, allowed.transaction) == (None, "rollback")
