"""Verify and sign the project's JSON Web Tokens.

One set of rules for all endpoints, those of Supabase Realtime: HMAC tokens are checked against
the project's secret (or an ``oct`` key with their ``kid``), asymmetric ones only against the key
that their ``kid`` names and whose type fits the algorithm. A public key is therefore never used as
an HMAC secret. ``aud``, ``iss`` and ``nbf`` are not checked. No I/O happens here.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias
from urllib.parse import unquote

import jwt
from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from local_stack.errors import StackError
from local_stack.keys import ProjectKeys

Claims: TypeAlias = dict[str, Any]

MAX_TOKEN_CHARS = 65_536
_CACHED_TOKENS = 4_096

_HMAC_DIGESTS = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
# algorithm → (kty, accepted curves; empty: the type has none)
_ASYMMETRIC: Mapping[str, tuple[str, frozenset[str]]] = {
    "RS256": ("RSA", frozenset()),
    "RS384": ("RSA", frozenset()),
    "RS512": ("RSA", frozenset()),
    "ES256": ("EC", frozenset({"P-256"})),
    "ES384": ("EC", frozenset({"P-384"})),
    "ES512": ("EC", frozenset({"P-521"})),
    "EdDSA": ("OKP", frozenset({"Ed25519", "Ed448"})),
    "Ed25519": ("OKP", frozenset({"Ed25519"})),
    "Ed448": ("OKP", frozenset({"Ed448"})),
}
# Members of a JWK that verification needs; private halves are dropped on arrival.
_KEPT_MEMBERS = frozenset({"kty", "crv", "x", "y", "n", "e", "k", "kid"})


class TokenError(StackError):
    """Root of the reasons to refuse a token. Messages never hold the token."""


class TokenMalformedError(TokenError, ValueError):
    """The value is not a JWT: three base64url parts, the first two JSON objects."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a valid JWT: {reason}")


class TokenSignatureError(TokenError):
    """The signature does not belong to the content."""

    def __init__(self) -> None:
        super().__init__("the JWT's signature is not valid")


class TokenSignerError(TokenError):
    """No key of the project can have signed this token.

    Attributes:
        kid: the key id the token names; None when the trouble is its ``alg`` or a missing ``kid``.
    """

    def __init__(self, kid: str | None = None) -> None:
        self.kid = kid
        named = "its algorithm and key id" if kid is None else f'key id "{kid}"'
        super().__init__(f"there is no key to verify the JWT with ({named})")


class TokenExpiredError(TokenError):
    """``exp`` is not in the future.

    Attributes:
        expired_ago_s: seconds since ``exp``, 0 or more.
    """

    def __init__(self, expired_ago_s: int) -> None:
        self.expired_ago_s = expired_ago_s
        super().__init__(f"the JWT expired {expired_ago_s} s ago")


class TokenClaimsError(TokenError):
    """A claim is missing or of the wrong type.

    Attributes:
        missing: required claims that are absent.
        invalid: claims whose value has the wrong type.
    """

    def __init__(self, *, missing: tuple[str, ...] = (), invalid: tuple[str, ...] = ()) -> None:
        self.missing = missing
        self.invalid = invalid
        parts = [f"missing {', '.join(missing)}"] if missing else []
        parts += [f"invalid {', '.join(invalid)}"] if invalid else []
        super().__init__(f"the JWT's claims are refused: {'; '.join(parts)}")


class TokenVerifier:
    """Decide whether a token is good, and return its claims.

    Follows every change of ``keys.signing_keys`` at once. Verified signatures are remembered
    (bounded), expiry is checked at each call. Safe to share between tasks of one event loop.
    """

    def __init__(self, keys: ProjectKeys) -> None:
        self._keys = keys
        self._known_keys: object = None
        self._jwks: dict[str, dict[str, Any]] = {}
        self._verified: OrderedDict[str, bytes] = OrderedDict()
        self._api_keys = {
            "sb_publishable_": (keys.publishable, keys.anon),
            "sb_secret_": (keys.secret, keys.service_role),
        }

    def verify(self, token: str, now: float | None = None) -> Claims:
        """Return the claims of a good token as a fresh dict.

        Args:
            token: compact JWT; percent-encoding is decoded and white space dropped first.
            now: Unix time in seconds; None is the clock's.

        Raises:
            TokenMalformedError: not a JWT.
            TokenSignerError: unsupported ``alg``, missing ``kid``, or no such key.
            TokenSignatureError: the signature is wrong.
            TokenExpiredError: ``exp`` is not strictly greater than the current second.
            TokenClaimsError: ``role`` or ``exp`` missing, or ``exp``, ``iat`` or ``role`` mistyped.
        """
        self._follow_key_changes()
        compact = "".join(unquote(token).split())
        payload = self._verified.get(compact)
        if payload is None:
            payload = self._verify_signature(compact)
            self._remember(compact, payload)
        claims = _parse_object(payload, "payload")
        _check_claims(claims, int(time.time() if now is None else now))
        return claims

    @property
    def generation(self) -> object:
        """Another object after every change of the keys: what was verified before is void then."""
        return self._keys.signing_keys

    def claims_of_api_key(self, value: str) -> Claims | None:
        """Return the claims that an ``sb_`` key stands for: role anon or service_role.

        Returns:
            The claims of the legacy key of the same role (they include a far ``exp``), or None when
            ``value`` is no key of this project.
        """
        for prefix, (key, stands_for) in self._api_keys.items():
            if value.startswith(prefix) and hmac.compare_digest(
                value.encode(errors="replace"), key.encode()
            ):
                return self.verify(stands_for)
        return None

    def _follow_key_changes(self) -> None:
        if self._known_keys is self._keys.signing_keys:
            return
        self._known_keys = self._keys.signing_keys
        self._verified.clear()
        self._jwks = {
            jwk["kid"]: {name: jwk[name] for name in jwk if name in _KEPT_MEMBERS}
            for jwk in self._keys.verification_jwks()
            if isinstance(jwk.get("kid"), str)
        }

    def _remember(self, compact: str, payload: bytes) -> None:
        self._verified[compact] = payload
        if len(self._verified) > _CACHED_TOKENS:
            self._verified.popitem(last=False)

    def _verify_signature(self, compact: str) -> bytes:
        header, payload, signature, signed = _split(compact)
        algorithm = header.get("alg")
        kid = header.get("kid")
        if not isinstance(algorithm, str):
            raise TokenSignerError
        if algorithm in _HMAC_DIGESTS:
            secret = self._hmac_secret(kid)
            expected = hmac.digest(secret, signed, _HMAC_DIGESTS[algorithm])
            if not hmac.compare_digest(expected, signature):
                raise TokenSignatureError
            return payload
        if algorithm not in _ASYMMETRIC or not isinstance(kid, str) or not self._jwks:
            raise TokenSignerError
        method, key = self._asymmetric_key(algorithm, kid)
        if not method.verify(signed, key, signature):
            raise TokenSignatureError
        return payload

    def _hmac_secret(self, kid: Any) -> bytes:
        """Pick the ``oct`` key that ``kid`` names, else the project's secret."""
        jwk = self._jwks.get(kid) if isinstance(kid, str) else None
        if jwk is not None and jwk.get("kty") == "oct" and isinstance(jwk.get("k"), str):
            try:
                return _decode_part(jwk["k"], "key")
            except TokenMalformedError:
                pass  # an unusable oct key counts as unknown
        return self._keys.jwt_secret.encode()

    def _asymmetric_key(self, algorithm: str, kid: str) -> tuple[Algorithm, Any]:
        jwk = self._jwks.get(kid)
        kty, curves = _ASYMMETRIC[algorithm]
        if jwk is None or jwk.get("kty") != kty or (curves and jwk.get("crv") not in curves):
            raise TokenSignerError(kid)
        method = _method(algorithm)
        try:
            return method, method.from_jwk(jwk)
        except (jwt.InvalidKeyError, ValueError) as error:
            raise TokenSignerError(kid) from error


class TokenIssuer:
    """Sign tokens with the project's key in use, or its legacy secret when there is none."""

    def __init__(self, keys: ProjectKeys) -> None:
        self._keys = keys

    def issue(
        self,
        claims: Mapping[str, Any],
        lifetime_s: float,
        *,
        now: float | None = None,
        legacy: bool = False,
    ) -> str:
        """Return a signed token with ``iat`` and ``exp`` added to ``claims``.

        Args:
            claims: the content; ``iat`` and ``exp`` in it are replaced.
            lifetime_s: seconds from now to ``exp``; negative values make an expired token.
            now: Unix time in seconds; None is the clock's.
            legacy: sign with HS256 and the project's secret whatever key is in use.
        """
        issued_s = int(time.time() if now is None else now)
        content = {**claims, "iat": issued_s, "exp": issued_s + int(lifetime_s)}
        key = None if legacy else self._keys.current
        if key is None:
            return jwt.encode(content, self._keys.jwt_secret, algorithm="HS256")
        return jwt.encode(content, key.private_key(), algorithm="ES256", headers={"kid": key.kid})


def _method(algorithm: str) -> Algorithm:
    size = algorithm[2:]
    if algorithm.startswith("RS"):
        return RSAAlgorithm(getattr(RSAAlgorithm, f"SHA{size}"))
    if algorithm.startswith("ES"):
        return ECAlgorithm(getattr(ECAlgorithm, f"SHA{size}"))
    return OKPAlgorithm()


def _split(compact: str) -> tuple[Claims, bytes, bytes, bytes]:
    """Return header, payload bytes, signature and the signed text of a compact JWT."""
    if len(compact) > MAX_TOKEN_CHARS:
        raise TokenMalformedError(f"longer than {MAX_TOKEN_CHARS} characters")
    parts = compact.split(".")
    if len(parts) != 3:
        raise TokenMalformedError("it does not have three parts")
    header = _parse_object(_decode_part(parts[0], "header"), "header")
    payload = _decode_part(parts[1], "payload")
    _parse_object(payload, "payload")
    signature = _decode_part(parts[2], "signature")
    return header, payload, signature, f"{parts[0]}.{parts[1]}".encode()


def _decode_part(text: str, part: str) -> bytes:
    """Decode base64url strictly: no padding, no foreign characters, no stray bits at the end."""
    try:
        raw = text.encode("ascii")
        value = base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise TokenMalformedError(f"its {part} is not base64url") from error
    if base64.urlsafe_b64encode(value).rstrip(b"=") != raw:
        raise TokenMalformedError(f"its {part} is not canonical base64url")
    return value


def _parse_object(raw: bytes, part: str) -> Claims:
    try:
        value = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise TokenMalformedError(f"its {part} is not JSON") from error
    if not isinstance(value, dict):
        raise TokenMalformedError(f"its {part} is not a JSON object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _check_claims(claims: Claims, now_s: int) -> None:
    invalid = [name for name in ("exp", "iat") if name in claims and not _is_number(claims[name])]
    if invalid:
        raise TokenClaimsError(invalid=tuple(invalid))
    if "exp" in claims:
        expires_s = round(claims["exp"])
        if expires_s <= now_s:
            raise TokenExpiredError(now_s - expires_s)
    missing = tuple(name for name in ("role", "exp") if name not in claims)
    if missing:
        raise TokenClaimsError(missing=missing)
    if not isinstance(claims["role"], str):
        raise TokenClaimsError(invalid=("role",))


def _is_number(value: Any) -> bool:
    # A JSON number too large for a float parses as infinity, which has no second to compare.
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or abs(value) != float("inf")
