"""Who is calling: verify a session token and turn it into a ``Subject``.

Being staff is not in the token: the database is asked (``staff_check``), so that removing
someone takes effect at once.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import jwt
from pydantic import SecretStr

from crm_service.errors import (
    AuthenticationError,
    TokenExpiredError,
    TokenMissingError,
    TokenRejectedError,
)
from crm_service.signing_keys import SigningKeys

# The algorithm belongs to the key, never to the token: a token may not choose HS256 and have the
# public key used as its secret.
_ASYMMETRIC = ("ES256", "RS256")
_SYMMETRIC = "HS256"
_LEEWAY_S = 5.0
_SIGN_IN_AGAIN = "Sign in again and send the new access token."


@dataclass(frozen=True, slots=True)
class Subject:
    """A verified session; the token is kept to act as this person in the database."""

    user_id: UUID
    token: SecretStr = field(repr=False)
    expires_at: float = 0.0
    """When the session ends, in seconds since 1970."""


class TokenVerifier:
    """Verify session tokens of one Supabase project.

    Args:
        keys: Public keys for ES256 and RS256.
        secret: HS256 secret of projects that still sign with it; None refuses HS256.
        issuer: Required ``iss``.
        audience: Required ``aud``.
    """

    def __init__(
        self, keys: SigningKeys, secret: SecretStr | None, *, issuer: str, audience: str
    ) -> None:
        self._keys = keys
        self._secret = secret
        self._issuer = issuer
        self._audience = audience

    async def verify(self, authorization: str | None) -> Subject:
        """Return the caller behind an ``Authorization`` header.

        Raises:
            TokenMissingError: No bearer token.
            TokenExpiredError: The token was valid before.
            TokenRejectedError: Malformed, wrong signature, issuer or audience, or not a person.
            UpstreamUnavailableError: The signing keys cannot be fetched.

        Cancellation:
            Safe.
        """
        token = bearer_token(authorization)
        claims = await self._verified_claims(token)
        return subject_of(claims, token)

    async def _verified_claims(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise TokenRejectedError(f"The bearer token is not a JWT. {_SIGN_IN_AGAIN}") from error
        key, algorithm = await self._key_for(header)
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "sub"]},
            )
        except jwt.PyJWTError as error:
            raise _refusal(error) from error

    async def _key_for(self, header: dict[str, Any]) -> tuple[jwt.PyJWK | str, str]:
        algorithm = header.get("alg")
        if algorithm == _SYMMETRIC:
            if self._secret is None:
                raise TokenRejectedError(
                    "The token is signed with HS256, and this service has no JWT secret. Use a "
                    "session of the configured project, or set SUPABASE_JWT_SECRET."
                )
            return self._secret.get_secret_value(), _SYMMETRIC
        kid = header.get("kid")
        if algorithm not in _ASYMMETRIC or not isinstance(kid, str):
            raise TokenRejectedError(
                "The token's signature must be ES256, RS256 (with a key id) or HS256. "
                + _SIGN_IN_AGAIN
            )
        key = await self._keys.find(kid)
        if key.algorithm_name != algorithm:
            raise TokenRejectedError(
                "The token names another algorithm than its signing key has. " + _SIGN_IN_AGAIN
            )
        return key, algorithm


def bearer_token(authorization: str | None) -> str:
    """Extract the token of a bearer ``Authorization`` header.

    Raises:
        TokenMissingError: The header is absent or of another scheme.
        TokenRejectedError: The value is an API key.
    """
    scheme, _, token = (authorization or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise TokenMissingError(
            "Sign in as a member of staff and send the access token: Authorization: Bearer <token>."
        )
    if token.startswith(("sb_publishable_", "sb_secret_")):
        raise TokenRejectedError(
            "An API key was sent where a session's access token belongs. " + _SIGN_IN_AGAIN
        )
    return token


def subject_of(claims: dict[str, Any], token: str) -> Subject:
    """Turn verified claims into a caller.

    Raises:
        TokenRejectedError: The token is an API key, a service key, anonymous or without a user id.
    """
    if claims.get("role") != "authenticated" or claims.get("is_anonymous") is True:
        raise TokenRejectedError(
            "The token does not belong to a signed-in person. " + _SIGN_IN_AGAIN
        )
    try:
        user_id = UUID(str(claims["sub"]))
    except ValueError as error:
        raise TokenRejectedError(f"The token has no user id. {_SIGN_IN_AGAIN}") from error
    return Subject(user_id, SecretStr(token), float(claims.get("exp", 0)))


def _refusal(error: jwt.PyJWTError) -> AuthenticationError:
    match error:
        case jwt.ExpiredSignatureError():
            return TokenExpiredError(
                "The access token has expired. Refresh the session and send the new token."
            )
        case jwt.InvalidAudienceError():
            reason = "it is meant for another audience"
        case jwt.InvalidIssuerError():
            reason = "it was issued by another project"
        case jwt.MissingRequiredClaimError():
            reason = f"its claim '{error.claim}' is missing"
        case jwt.ImmatureSignatureError() | jwt.InvalidIssuedAtError():
            reason = "it is not valid yet; compare the clocks"
        case jwt.InvalidSignatureError():
            reason = "its signature is wrong"
        case _:
            reason = "it is malformed"
    return TokenRejectedError(f"The access token was refused: {reason}. {_SIGN_IN_AGAIN}")
