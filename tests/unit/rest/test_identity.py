"""Who is asking, from the Authorization header alone."""

import json

import pytest

from local_stack.auth.tokens import TokenIssuer, TokenVerifier
from local_stack.keys import ProjectKeys
from local_stack.rest.errors import RestError
from local_stack.rest.identity import IdentityResolver

KEYS = ProjectKeys.generate()
RESOLVER = IdentityResolver(TokenVerifier(KEYS), "anon")


def test_a_token_gives_role_and_claims():
    token = TokenIssuer(KEYS).issue({"role": "authenticated", "sub": "x"}, 60)
    found = RESOLVER.resolve(f"Bearer {token}")
    assert (found.role, found.is_anonymous) == ("authenticated", False)
    assert json.loads(found.claims)["sub"] == "x"


@pytest.mark.parametrize("header", [None, "Basic eDp5"])
def test_without_a_bearer_token_the_caller_is_anonymous(header):
    found = RESOLVER.resolve(header)
    assert (found.role, found.claims, found.is_anonymous) == ("anon", '{"role":"anon"}', True)


def test_the_publishable_key_is_anonymous_and_the_secret_key_is_not():
    assert RESOLVER.resolve(f"bearer {KEYS.publishable}").is_anonymous
    assert RESOLVER.resolve(f"Bearer {KEYS.secret}").role == "service_role"


@pytest.mark.parametrize(
    ("header", "code", "message"),
    [
        ("Bearer ", "PGRST301", "Empty JWT is sent in Authorization header"),
        ("Bearer x", "PGRST301", "Expected 3 parts in JWT; got 1"),
        ("Bearer sb_secret_x", "PGRST301", "Invalid API key"),
    ],
)
def test_what_is_no_token_is_refused(header, code, message):
    with pytest.raises(RestError) as caught:
        RESOLVER.resolve(header)
    assert (caught.value.status, caught.value.code, caught.value.message) == (401, code, message)
    assert caught.value.headers[0][0] == "WWW-Authenticate"
