"""Verification and signing of tokens: the rules of the Realtime protocol, and tampering."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from local_stack.auth.tokens import (
    TokenClaimsError,
    TokenError,
    TokenExpiredError,
    TokenIssuer,
    TokenMalformedError,
    TokenSignatureError,
    TokenSignerError,
    TokenVerifier,
)
from local_stack.keys import ProjectKeys, SigningKey

NOW = 1_800_000_000
KEYS = ProjectKeys.generate(now_s=NOW)
VERIFIER = TokenVerifier(KEYS)
ISSUER = TokenIssuer(KEYS)
CLAIMS = {"role": "authenticated", "sub": "b0000000-0000-4000-8000-000000000001"}
BASE64URL = string.ascii_letters + string.digits + "-_"


def encode(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hs256(header: Any, payload: Any, secret: bytes = KEYS.jwt_secret.encode()) -> str:
    signed = f"{encode(header)}.{encode(payload)}"
    signature = hmac.digest(secret, signed.encode(), hashlib.sha256)
    return f"{signed}.{encode(signature)}"


def good(**claims: Any) -> dict[str, Any]:
    return {**CLAIMS, "exp": NOW + 60, **claims}


def test_an_issued_token_verifies_with_its_claims() -> None:
    """What the issuer signs the verifier accepts, with iat and exp added."""
    token = ISSUER.issue(CLAIMS, 3600, now=NOW)
    assert VERIFIER.verify(token, NOW) == {**CLAIMS, "iat": NOW, "exp": NOW + 3600}
    header = jwt.get_unverified_header(token)
    assert KEYS.current is not None
    assert (header["alg"], header["kid"]) == ("ES256", KEYS.current.kid)


def test_returned_claims_are_the_callers_own() -> None:
    """Changing returned claims does not change what the next caller gets."""
    token = ISSUER.issue({**CLAIMS, "app_metadata": {"a": 1}}, 60, now=NOW)
    VERIFIER.verify(token, NOW)["app_metadata"]["a"] = 2
    assert VERIFIER.verify(token, NOW)["app_metadata"] == {"a": 1}


def test_expiry_is_strict_and_checked_again_for_known_tokens() -> None:
    """A token is dead in the very second of exp, also when it was seen before."""
    token = ISSUER.issue(CLAIMS, 60, now=NOW)
    VERIFIER.verify(token, NOW + 59.9)
    with pytest.raises(TokenExpiredError) as expired:
        VERIFIER.verify(token, NOW + 60)
    assert expired.value.expired_ago_s == 0
    with pytest.raises(TokenExpiredError) as later:
        VERIFIER.verify(token, NOW + 65.9)
    assert later.value.expired_ago_s == 5


@pytest.mark.parametrize("exp", [NOW + 0.4, NOW - 1e9, -1, 0])
def test_decimal_expiry_is_rounded(exp: float) -> None:
    """A decimal exp is rounded to the nearest second before it is compared."""
    with pytest.raises(TokenExpiredError):
        VERIFIER.verify(hs256({"alg": "HS256"}, good(exp=exp)), NOW)
    assert VERIFIER.verify(hs256({"alg": "HS256"}, good(exp=NOW + 0.6)), NOW)


@pytest.mark.parametrize("value", [str(NOW + 60), True, None, [NOW], {"a": 1}])
@pytest.mark.parametrize("claim", ["exp", "iat"])
def test_times_must_be_numbers(claim: str, value: Any) -> None:
    """Strings, booleans and null are no times."""
    with pytest.raises(TokenClaimsError) as refused:
        VERIFIER.verify(hs256({"alg": "HS256"}, good(**{claim: value})), NOW)
    assert refused.value.invalid == (claim,)


def test_infinite_times_are_refused() -> None:
    """A number beyond what a float holds is refused, NaN is not even JSON."""
    payload = json.dumps(good()).replace(str(NOW + 60), "1e999").encode()
    with pytest.raises(TokenClaimsError):
        VERIFIER.verify(hs256({"alg": "HS256"}, payload), NOW)
    payload = json.dumps(good()).replace(str(NOW + 60), "NaN").encode()
    with pytest.raises(TokenMalformedError):
        VERIFIER.verify(hs256({"alg": "HS256"}, payload), NOW)


@pytest.mark.parametrize(
    ("claims", "missing"),
    [
        ({"exp": NOW + 60}, ("role",)),
        ({"role": "anon"}, ("exp",)),
        ({}, ("role", "exp")),
    ],
)
def test_role_and_exp_are_required(claims: dict[str, Any], missing: tuple[str, ...]) -> None:
    """A good signature is not enough; sub is optional."""
    with pytest.raises(TokenClaimsError) as refused:
        VERIFIER.verify(hs256({"alg": "HS256"}, claims), NOW)
    assert refused.value.missing == missing


def test_role_must_be_text() -> None:
    """The role names a database role, so nothing but text will do."""
    with pytest.raises(TokenClaimsError):
        VERIFIER.verify(hs256({"alg": "HS256"}, good(role=["service_role"])), NOW)


@pytest.mark.parametrize("kid", [None, "unknown", 7])
def test_hs_tokens_with_any_unknown_kid_fall_to_the_secret(kid: Any) -> None:
    """HMAC tokens are checked against the project's secret unless an oct key has their kid."""
    token = hs256({"alg": "HS256", "kid": kid}, good())
    assert VERIFIER.verify(token, NOW)["sub"] == CLAIMS["sub"]


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_the_longer_hashes_work(algorithm: str) -> None:
    """HS384 and HS512 are accepted with the same secret."""
    token = jwt.encode(good(), KEYS.jwt_secret, algorithm=algorithm)
    assert VERIFIER.verify(token, NOW)


def test_an_oct_key_is_used_for_its_kid_only() -> None:
    """A trusted oct key verifies tokens with its kid, and the secret does not any more."""
    secret = b"0123456789abcdef0123456789abcdef"
    keys = ProjectKeys.generate()
    keys.trusted_jwks = ({"kty": "oct", "kid": "mine", "k": encode(secret)},)
    verifier = TokenVerifier(keys)
    own = keys.jwt_secret.encode()
    assert verifier.verify(hs256({"alg": "HS256", "kid": "mine"}, good(), secret), NOW)
    assert verifier.verify(hs256({"alg": "HS256", "kid": "other"}, good(), own), NOW)
    with pytest.raises(TokenSignatureError):
        verifier.verify(hs256({"alg": "HS256", "kid": "mine"}, good(), own), NOW)


def test_a_public_key_is_never_an_hmac_secret() -> None:
    """The classic confusion: sign with HS256 and the public key, name that key's kid."""
    assert KEYS.current is not None
    jwk = KEYS.current.public_jwk()
    numbers = ec.EllipticCurvePublicNumbers(
        *(int.from_bytes(base64.urlsafe_b64decode(jwk[c] + "=")) for c in "xy"), ec.SECP256R1()
    )
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    public = numbers.public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(jwk).encode(),
        jwk["x"].encode(),
        b"",
    ]
    for secret in secrets:
        with pytest.raises(TokenSignatureError):
            VERIFIER.verify(hs256({"alg": "HS256", "kid": jwk["kid"]}, good(), secret), NOW)


@pytest.mark.parametrize("alg", ["none", "None", "", "PS256", "HS1", "RS256 ", None, 7, ["HS256"]])
def test_unsupported_algorithms_are_refused(alg: Any) -> None:
    """alg none, PS* and nonsense have no signer, with or without a signature."""
    header = {"alg": alg, "kid": "x"}
    unsigned = f"{encode(header)}.{encode(good())}."
    for token in (hs256(header, good()), unsigned):
        with pytest.raises(TokenSignerError) as refused:
            VERIFIER.verify(token, NOW)
        assert refused.value.kid is None


def test_asymmetric_tokens_need_a_known_kid_of_their_kind() -> None:
    """No kid, an unknown kid, and a kid of another key type are refused before any check."""
    assert KEYS.current is not None
    private = KEYS.current.private_key()
    with pytest.raises(TokenSignerError) as missing:
        VERIFIER.verify(jwt.encode(good(), private, algorithm="ES256"), NOW)
    assert missing.value.kid is None
    with pytest.raises(TokenSignerError) as unknown:
        VERIFIER.verify(jwt.encode(good(), private, "ES256", {"kid": "nobody"}), NOW)
    assert unknown.value.kid == "nobody"
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(TokenSignerError):
        VERIFIER.verify(jwt.encode(good(), other, "RS256", {"kid": KEYS.current.kid}), NOW)
    wide = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(TokenSignerError):  # P-256 key, ES384 token
        VERIFIER.verify(jwt.encode(good(), wide, "ES384", {"kid": KEYS.current.kid}), NOW)


def test_trusted_keys_of_other_types_verify() -> None:
    """Another issuer's RSA, EC and Ed25519 keys are accepted once they are trusted."""
    private: dict[str, Any] = {
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES384": ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }
    to_jwk: dict[str, Any] = {"RS256": RSAAlgorithm, "ES384": ECAlgorithm, "EdDSA": OKPAlgorithm}
    keys = ProjectKeys.generate()
    keys.trusted_jwks = tuple(
        {**to_jwk[name].to_jwk(key.public_key(), as_dict=True), "kid": name}
        for name, key in private.items()
    )
    verifier = TokenVerifier(keys)
    for name, key in private.items():
        token = jwt.encode(good(), key, name, {"kid": name})
        assert verifier.verify(token, NOW)["sub"] == CLAIMS["sub"]
        with pytest.raises(TokenSignatureError):
            verifier.verify(token[:-8] + ("A" * 8), NOW)


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", "a.b", "a.b.c.d", "sb_secret_abc", "ä.ö.ü", "{}.{}.{}",
        f"{encode([])}.{encode(good())}.AA", f"{encode({'alg': 'HS256'})}.{encode([1])}.AA",
        f"{encode(b'{')}.{encode(good())}.AA", f"{encode(b'[' * 20_000)}.e30.AA", "x" * 100_000,
    ],
)  # fmt: skip
def test_malformed_tokens_are_refused(token: str) -> None:
    """Whatever is not a JWT is refused as malformed, never with another error."""
    with pytest.raises(TokenMalformedError):
        VERIFIER.verify(token, NOW)


def test_whitespace_and_percent_encoding_are_removed_first() -> None:
    """Tokens that went through a URL or a wrapped header are read as meant."""
    token = ISSUER.issue(CLAIMS, 60, now=NOW)
    spoiled = f" {token[:20]}\n {token[20:]}\t".replace(".", "%2E")
    assert VERIFIER.verify(spoiled, NOW) == VERIFIER.verify(token, NOW)


def test_legacy_and_sb_keys_stand_for_their_roles() -> None:
    """Both kinds of API keys give anon and service_role, without running out soon."""
    for legacy, modern, role in (
        (KEYS.anon, KEYS.publishable, "anon"),
        (KEYS.service_role, KEYS.secret, "service_role"),
    ):
        claims = VERIFIER.verify(legacy, NOW)
        assert claims["role"] == role
        assert claims["exp"] > NOW + 5 * 365 * 24 * 3600
        assert TokenVerifier(ProjectKeys.generate()).claims_of_api_key(modern) is None
        got = VERIFIER.claims_of_api_key(modern)
        assert got is not None
        assert got["role"] == role
    for wrong in (
        "",
        "sb_secret_",
        KEYS.secret[:-1],
        KEYS.secret + "x",
        KEYS.anon,
        "sb_secret_\ud800",
    ):
        assert VERIFIER.claims_of_api_key(wrong) is None


def test_a_token_of_another_project_is_refused() -> None:
    """Neither kind of token passes from one project to the next."""
    other = TokenIssuer(ProjectKeys.generate())
    with pytest.raises(TokenSignerError):
        VERIFIER.verify(other.issue(CLAIMS, 60, now=NOW), NOW)
    with pytest.raises(TokenSignatureError):
        VERIFIER.verify(other.issue(CLAIMS, 60, now=NOW, legacy=True), NOW)


def test_rotation_keeps_old_tokens_and_revoking_ends_them() -> None:
    """A rotated key still verifies; a revoked one does not, also for tokens seen before."""
    keys = ProjectKeys.generate()
    verifier, issuer = TokenVerifier(keys), TokenIssuer(keys)
    old = keys.current
    assert old is not None
    before = issuer.issue(CLAIMS, 60, now=NOW)
    verifier.verify(before, NOW)
    fresh = keys.rotate()
    after = issuer.issue(CLAIMS, 60, now=NOW)
    assert jwt.get_unverified_header(after)["kid"] == fresh.kid != old.kid
    assert verifier.verify(before, NOW)
    assert verifier.verify(after, NOW)
    keys.revoke(old.kid)
    with pytest.raises(TokenSignerError):
        verifier.verify(before, NOW)
    assert verifier.verify(after, NOW)


def test_a_project_without_a_key_in_use_signs_with_its_secret() -> None:
    """Projects that never left HS256 work."""
    keys = ProjectKeys.generate()
    keys.signing_keys = ()
    token = TokenIssuer(keys).issue(CLAIMS, 60, now=NOW)
    assert jwt.get_unverified_header(token)["alg"] == "HS256"
    assert TokenVerifier(keys).verify(token, NOW)


ISSUED = [
    ISSUER.issue(CLAIMS, 3600, now=NOW),
    ISSUER.issue(CLAIMS, 3600, now=NOW, legacy=True),
]


@settings(max_examples=300)
@given(
    token=st.sampled_from(ISSUED),
    place=st.integers(min_value=0),
    replacement=st.sampled_from([*BASE64URL, ".", "=", "+", "/", "ä", "{", "\0"]),
)
def test_no_single_changed_character_passes(token: str, place: int, replacement: str) -> None:
    """Changing any one character of a good token makes it bad."""
    place %= len(token)
    tampered = token[:place] + replacement + token[place + 1 :]
    if tampered == token:
        return
    with pytest.raises(TokenError):
        VERIFIER.verify(tampered, NOW)


@settings(max_examples=300)
@given(token=st.sampled_from(ISSUED), start=st.integers(0, 400), length=st.integers(1, 400))
def test_no_shortened_token_passes(token: str, start: int, length: int) -> None:
    """Cutting anything out of a good token makes it bad."""
    start %= len(token)
    cut = token[:start] + token[start + length :]
    with pytest.raises(TokenError):
        VERIFIER.verify(cut, NOW)


@settings(max_examples=300)
@given(
    claims=st.dictionaries(
        st.sampled_from(["role", "exp", "iat", "sub", "aud", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    )
)
def test_any_signed_payload_is_accepted_or_refused_with_a_token_error(claims: Any) -> None:
    """No payload, however odd, causes another exception; what passes has role and live exp."""
    try:
        got = VERIFIER.verify(hs256({"alg": "HS256"}, claims), NOW)
    except TokenError:
        return
    assert isinstance(got["role"], str)
    assert round(got["exp"]) > NOW


@settings(max_examples=300)
@given(text=st.text(max_size=200))
def test_any_text_is_refused_with_a_token_error(text: str) -> None:
    """Arbitrary text never passes and never causes another exception."""
    with pytest.raises(TokenError):
        VERIFIER.verify(text, NOW)


def test_error_messages_hold_no_token() -> None:
    """Refusals are safe to log."""
    token = ISSUER.issue(CLAIMS, 60, now=NOW)
    for bad in (token[:-4] + "AAAA", token + ".x", "x" + token):
        with pytest.raises(TokenError) as refused:
            VERIFIER.verify(bad, NOW)
        assert not [part for part in bad.split(".") if len(part) > 8 and part in str(refused.value)]


def test_signing_keys_are_p256_pairs() -> None:
    """The published half belongs to the private half."""
    key = SigningKey.generate("in_use", NOW)
    public = ECAlgorithm(ECAlgorithm.SHA256).from_jwk(key.public_jwk())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public == key.private_key().public_key()
