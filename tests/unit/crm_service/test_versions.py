"""ETag, If-Match and version."""

import pytest

from crm_service.errors import (
    InvalidRequestError,
    PreconditionFailedError,
    StaleVersionError,
    VersionRequiredError,
)
from crm_service.versions import Expected, expected_version, render_etag


@pytest.mark.parametrize(
    ("if_match", "body", "expected"),
    [
        (None, 3, Expected(3)),
        ('"3"', None, Expected(3, by_header=True)),
        (' "3" ', 3, Expected(3, by_header=True)),
        ("*", None, Expected(None, by_header=True)),
        ("*", 3, Expected(3, by_header=True)),
    ],
)
def test_says_which_version_a_change_is_based_on(if_match, body, expected):
    """Header and body both work; they may agree."""
    assert expected_version(if_match, body, required=True) == expected


def test_a_change_must_name_its_version():
    """Without a version a change could silently undo a colleague's."""
    with pytest.raises(VersionRequiredError):
        expected_version(None, None, required=True)
    assert expected_version(None, None, required=False) == Expected(None)


@pytest.mark.parametrize(
    "tag", ["3", 'W/"3"', '"3", "4"', '"abc"', '"03"', "", '"99999999999999999999"']
)
def test_malformed_tags_are_named(tag):
    """Only the service's own tags make sense."""
    with pytest.raises(InvalidRequestError) as caught:
        expected_version(tag, None, required=True)
    assert caught.value.extra["errors"][0]["field"] == "header.if-match"


def test_contradiction_is_refused():
    """Header and body naming different versions is a mistake of the caller."""
    with pytest.raises(InvalidRequestError):
        expected_version('"3"', 4, required=True)


def test_header_and_body_have_their_own_status():
    """If-Match fails with 412, a version in the body with 409; both carry the row and its tag."""
    row = {"version": 5, "name": "Ada"}
    for by_header, kind, status in (
        (True, PreconditionFailedError, 412),
        (False, StaleVersionError, 409),
    ):
        error = Expected(3, by_header=by_header).stale(row)
        assert type(error) is kind
        assert error.status == status
        assert error.extra["current"] == row
        assert error.headers["ETag"] == render_etag(5) == '"5"'
