"""Codes and statuses: the registry, PostgreSQL's codes, and responses chosen by functions."""

import asyncpg
import pytest

from local_stack.rest.database_error import status_of, to_rest_error
from local_stack.rest.errors import REGISTRY, RestError, not_implemented


@pytest.mark.parametrize("code", sorted(REGISTRY))
def test_every_code_has_its_status_and_message(code):
    error = RestError(code)
    assert error.status == REGISTRY[code].status
    assert error.message
    assert ("Proxy-Status", f"PostgREST; error={code}") in error.all_headers()


def test_the_body_has_the_four_members():
    body = RestError("PGRST116", details="d", hint="h").body()
    assert body == (
        b'{"code":"PGRST116","details":"d","hint":"h",'
        b'"message":"Cannot coerce the result to a single JSON object"}'
    )


def test_what_is_not_built_says_so():
    assert not_implemented("X").details == "X is not supported by the local stack"


@pytest.mark.parametrize(
    ("sqlstate", "status"),
    [
        ("08006", 503),
        ("09000", 500),
        ("0LP01", 403),
        ("0P000", 403),
        ("22P02", 400),
        ("22023", 400),
        ("23502", 400),
        ("23503", 409),
        ("23505", 409),
        ("23514", 400),
        ("21000", 500),
        ("25006", 405),
        ("25P02", 500),
        ("28000", 403),
        ("2D000", 500),
        ("38000", 500),
        ("39000", 500),
        ("3B000", 500),
        ("40001", 500),
        ("40P01", 500),
        ("42501", 403),
        ("42703", 400),
        ("42883", 404),
        ("42P01", 404),
        ("42P17", 500),
        ("53300", 503),
        ("53400", 500),
        ("54001", 500),
        ("55P03", 500),
        ("57014", 500),
        ("57P01", 503),
        ("58030", 500),
        ("F0000", 500),
        ("HV000", 500),
        ("P0001", 400),
        ("P0002", 500),
        ("XX000", 500),
        ("PT409", 409),
        ("PT999", 500),
        ("PTabc", 500),
    ],
)
def test_sqlstates_map_as_in_postgrest(sqlstate, status):
    assert status_of(sqlstate, "", is_anonymous=False) == status


def test_the_anonymous_role_is_asked_to_sign_in():
    assert status_of("42501", "", is_anonymous=True) == 401


def test_two_codes_depend_on_the_message():
    assert status_of("22023", 'role "x" does not exist', is_anonymous=False) == 401
    assert status_of("21000", "UPDATE requires a WHERE clause", is_anonymous=False) == 400


@pytest.mark.parametrize(
    "error",
    [
        OSError("gone"),
        asyncpg.InterfaceError("closed"),
        asyncpg.ConnectionDoesNotExistError("x"),
        EOFError(),
    ],
)
def test_lost_connections_are_503(error):
    mapped = to_rest_error(error, is_anonymous=False)
    assert (mapped.status, mapped.code) == (503, "PGRST001")


def raised(message: str, detail: str | None) -> RestError:
    error = asyncpg.PostgresError.new({"C": "PGRST", "M": message, "S": "ERROR", "D": detail or ""})
    error.detail = detail
    return to_rest_error(error, is_anonymous=False)


def test_a_function_may_choose_status_headers_and_body():
    mapped = raised(
        '{"code":"1","message":"m","details":"d","hint":"h"}',
        '{"status":402,"headers":{"X-A":"b"}}',
    )
    assert (mapped.status, mapped.code, mapped.message) == (402, "1", "m")
    assert (mapped.details, mapped.hint, mapped.headers) == ("d", "h", (("X-A", "b"),))


@pytest.mark.parametrize(
    ("message", "detail"),
    [("no", "{}"), ('{"code":"1"}', "{}"), ('{"code":"1","message":"m"}', None)]
    + [('{"code":"1","message":"m"}', bad) for bad in ("no", "{}", '{"status":"x","headers":{}}')],
)
def test_a_bad_choice_is_explained(message, detail):
    mapped = raised(message, detail)
    assert (mapped.status, mapped.code) == (500, "PGRST121")
