"""Who is asking: from the ``Authorization`` header to a database role and its claims."""

import json
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from local_stack.auth.tokens import (
    TokenClaimsError,
    TokenError,
    TokenExpiredError,
    TokenMalformedError,
    TokenVerifier,
)
from local_stack.rest.errors import IdentityError

_KNOWN_TOKENS = 500


@dataclass(frozen=True, slots=True)
class Identity:
    """The role that a request runs as.

    Attributes:
        role: Database role.
        claims: JSON text for ``request.jwt.claims``.
        is_anonymous: Whether the role is the anonymous one.
    """

    role: str
    claims: str
    is_anonymous: bool


class IdentityResolver:
    """Verifies tokens and knows the anonymous role."""

    def __init__(self, verifier: TokenVerifier, anon_role: str) -> None:
        self._verifier = verifier
        self._anon_role = anon_role
        self._anonymous = self._identity({})
        self._known: OrderedDict[str, tuple[int, Identity]] = OrderedDict()
        self._generation = verifier.generation

    def resolve(self, authorization: str | None) -> Identity:
        """Return who is asking.

        Args:
            authorization: Header value; without one, or with another scheme than Bearer, the
                request is anonymous.

        Raises:
            IdentityError: PGRST301 for a token that cannot be trusted, PGRST303 for its claims.
        """
        if authorization is None:
            return self._anonymous
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return self._anonymous
        token = token.strip()
        if not token:
            raise _refusal("PGRST301", "Empty JWT is sent in Authorization header")
        if token.startswith("sb_"):
            return self._of_api_key(token)
        if self._generation is not self._verifier.generation:
            self._known.clear()
            self._generation = self._verifier.generation
        known = self._known.get(token)
        if known is not None and known[0] > int(time.time()):
            return known[1]
        try:
            claims = self._verifier.verify(token)
        except TokenError as error:
            raise _explained(error, token) from error
        identity = self._identity(claims)
        self._remember(token, round(claims["exp"]), identity)
        return identity

    def _remember(self, token: str, expires_s: int, identity: Identity) -> None:
        """Keep what a token stands for until the second in which it expires."""
        self._known[token] = expires_s, identity
        if len(self._known) > _KNOWN_TOKENS:
            self._known.popitem(last=False)

    def _of_api_key(self, value: str) -> Identity:
        claims = self._verifier.claims_of_api_key(value)
        if claims is None:
            raise _refusal("PGRST301", "Invalid API key")
        return self._identity(claims)

    def _identity(self, claims: dict[str, Any]) -> Identity:
        role = claims.get("role", self._anon_role)
        if not isinstance(role, str):
            role = json.dumps(role)
        text = json.dumps({**claims, "role": role}, separators=(",", ":"))
        return Identity(role, text, role == self._anon_role)


def _explained(error: TokenError, token: str) -> IdentityError:
    if isinstance(error, TokenExpiredError):
        return _refusal("PGRST303", "JWT expired")
    if isinstance(error, TokenClaimsError):
        return _refusal("PGRST303", "Parsing claims failed", details=str(error))
    if isinstance(error, TokenMalformedError):
        parts = token.count(".") + 1
        if parts != 3:
            return _refusal("PGRST301", f"Expected 3 parts in JWT; got {parts}")
        return _refusal("PGRST301", "JWT couldn't be decoded", details=str(error))
    return _refusal(
        "PGRST301",
        "No suitable key or wrong key type",
        details="None of the keys was able to decode the JWT",
    )


def _refusal(code: str, message: str, details: str | None = None) -> IdentityError:
    described = f'Bearer error="invalid_token", error_description={json.dumps(message)}'
    return IdentityError(code, message, details=details, headers=(("WWW-Authenticate", described),))
