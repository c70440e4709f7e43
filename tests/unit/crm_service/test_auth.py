"""Who is let in: tokens, keys and their rotation."""

import time

import httpx
import jwt
import pytest

from crm_service.auth import TokenVerifier
from crm_service.errors import (
    TokenExpiredError,
    TokenMissingError,
    TokenRejectedError,
    UpstreamUnavailableError,
)
from crm_service.signing_keys import SigningKeys
from tests.support.crm import (
    HS256_SECRET,
    STAFF_ID,
    URL,
    ScriptedSupabase,
    SigningKey,
    make_settings,
    sign_hs256,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def supabase():
    return ScriptedSupabase(httpx.Response(500))


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def verifier(supabase, clock):
    settings = make_settings()
    async with httpx.AsyncClient(transport=supabase) as http:
        keys = SigningKeys(
            http, f"{URL}/auth/v1/.well-known/jwks.json", ttl_s=600, retry_after_s=2, clock=clock
        )
        yield TokenVerifier(
            keys, settings.jwt_secret, issuer=settings.issuer, audience=settings.jwt_audience
        )


async def test_accepts_an_es256_session(verifier, supabase):
    """A session signed by the project's key is its user."""
    token = supabase.key.sign()
    subject = await verifier.verify(f"Bearer {token}")
    assert str(subject.user_id) == STAFF_ID
    assert subject.token.get_secret_value() == token
    assert token not in repr(subject)


async def test_accepts_an_hs256_session_without_asking_for_keys(verifier, supabase):
    """Projects that still sign with a secret work without JWKS."""
    subject = await verifier.verify(f"bearer {sign_hs256()}")
    assert str(subject.user_id) == STAFF_ID
    assert supabase.key_requests == 0


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer  ", "Basic abc"])
async def test_no_token_is_told_apart(verifier, header):
    """Without a bearer token the answer says to sign in."""
    with pytest.raises(TokenMissingError) as caught:
        await verifier.verify(header)
    assert caught.value.headers == {"WWW-Authenticate": "Bearer"}


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "anon"},
        {"aud": None},
        {"iss": "https://other.test/auth/v1"},
        {"iss": None},
        {"exp": None},
        {"sub": None},
        {"sub": "not-a-uuid"},
        {"role": "anon"},
        {"role": "service_role"},
        {"role": None},
        {"is_anonymous": True},
        {"nbf": int(time.time()) + 600},
    ],
    ids=lambda claims: next(f"{name}-{type(value).__name__}" for name, value in claims.items()),
)
async def test_wrong_claims_are_refused(verifier, supabase, claims):
    """Audience, issuer, expiry, subject and role must all be those of a person of this project."""
    for token in (supabase.key.sign(**claims), sign_hs256(**claims)):
        with pytest.raises(TokenRejectedError):
            await verifier.verify(f"Bearer {token}")


async def test_an_expired_token_is_told_apart(verifier, supabase):
    """An expired session is asked to refresh."""
    with pytest.raises(TokenExpiredError):
        await verifier.verify(f"Bearer {supabase.key.sign(exp=int(time.time()) - 60)}")


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "a.b.c",
        "sb_publishable_x",
        "sb_secret_x",
        sign_hs256("another-secret-that-is-long-enough-to-use"),
    ],
)
async def test_tokens_that_are_not_ours_are_refused(verifier, token):
    """Garbage, API keys and other signatures never pass."""
    with pytest.raises(TokenRejectedError):
        await verifier.verify(f"Bearer {token}")


async def test_unsigned_and_confused_tokens_are_refused(verifier, supabase):
    """A token cannot choose `none`, nor HS256 with a public key as its secret."""
    claims = jwt.decode(supabase.key.sign(), options={"verify_signature": False})
    unsigned = jwt.encode(claims, None, algorithm="none")
    with pytest.raises(TokenRejectedError):
        await verifier.verify(f"Bearer {unsigned}")
    public = str(supabase.key.jwk["x"]).ljust(32, "=")
    confused = jwt.encode(claims, public, algorithm="HS256", headers={"kid": "first"})
    with pytest.raises(TokenRejectedError):
        await verifier.verify(f"Bearer {confused}")


async def test_hs256_without_a_secret_says_what_to_set(supabase):
    """A service without the secret names the variable."""
    async with httpx.AsyncClient(transport=supabase) as http:
        keys = SigningKeys(http, f"{URL}/x/jwks.json", ttl_s=600, retry_after_s=2)
        verifier = TokenVerifier(keys, None, issuer="i", audience="a")
        with pytest.raises(TokenRejectedError, match="SUPABASE_JWT_SECRET"):
            await verifier.verify(f"Bearer {sign_hs256(HS256_SECRET)}")


async def test_keys_are_fetched_once_and_again_when_old(verifier, supabase, clock):
    """Keys are cached for their time."""
    token = supabase.key.sign()
    for _ in range(3):
        await verifier.verify(f"Bearer {token}")
    assert supabase.key_requests == 1
    clock.now += 601
    await verifier.verify(f"Bearer {token}")
    assert supabase.key_requests == 2


async def test_a_rotated_key_is_found_at_once(verifier, supabase, clock):
    """An unknown key id makes us look again; the old key leaves with the new document."""
    old = supabase.key.sign()
    await verifier.verify(f"Bearer {old}")
    supabase.keys = [SigningKey("second")]
    clock.now += 11
    await verifier.verify(f"Bearer {supabase.keys[0].sign()}")
    with pytest.raises(TokenRejectedError):
        await verifier.verify(f"Bearer {old}")


async def test_made_up_key_ids_do_not_flood_auth(verifier, supabase):
    """Unknown key ids cost at most one request per interval."""
    await verifier.verify(f"Bearer {supabase.key.sign()}")
    for number in range(20):
        with pytest.raises(TokenRejectedError):
            await verifier.verify(f"Bearer {SigningKey(f'forged-{number}').sign()}")
    assert supabase.key_requests == 1


async def test_known_keys_outlive_an_outage_of_auth(verifier, supabase, clock):
    """When Auth is down, sessions that we can verify keep working."""
    token = supabase.key.sign()
    await verifier.verify(f"Bearer {token}")
    supabase.keys = None
    clock.now += 601
    await verifier.verify(f"Bearer {token}")
    assert supabase.key_requests == 2


async def test_without_any_keys_the_service_says_so(verifier, supabase):
    """Keys that cannot be fetched at all are 503, not 401; the next call tries again."""
    supabase.keys = None
    with pytest.raises(UpstreamUnavailableError, match="SUPABASE_URL"):
        await verifier.verify(f"Bearer {supabase.key.sign()}")
    supabase.keys = [supabase.key]
    await verifier.verify(f"Bearer {supabase.key.sign()}")
