"""Reading, never trusting, the claims of an access token: the server verifies, we only look."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from portal_sdk._core.json_value import as_object
from portal_sdk.errors import TokenRejectedError

JWT_PARTS = 3


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """The two things the SDK looks at: who, and for how long (epoch seconds)."""

    user_id: str
    expires_at_s: float | None
    issued_at_s: float | None

    def life_s(self, wall_now_s: float, *, is_new: bool) -> float | None:
        """Return the remaining life in seconds, or None without an expiry.

        A token that was issued for us just now lives ``exp - iat`` whatever our clock says, so
        a wrong clock does not matter. Of any other token only the clock can tell, and it is wrong
        if it says that the token is yet to be issued.
        """
        if self.expires_at_s is None:
            return None
        if self.issued_at_s is not None:
            wall_now_s = self.issued_at_s if is_new else max(wall_now_s, self.issued_at_s)
        return max(0.0, self.expires_at_s - wall_now_s)


def read_payload(token: str) -> dict[str, Any] | None:
    """Return what a JWT says, without checking its signature; None if it is no JWT."""
    parts = token.split(".")
    if len(parts) != JWT_PARTS:
        return None
    padded = parts[1] + "=" * (-len(parts[1]) % 4)
    try:
        return as_object(json.loads(base64.urlsafe_b64decode(padded)))
    except (ValueError, binascii.Error):
        return None


def is_secret(text: str) -> bool:
    """Return whether it is a secret key, or a JWT of the role that may do everything."""
    return text.startswith("sb_secret_") or _is_service_role(read_payload(text))


def read_claims(token: str) -> TokenClaims:
    """Return who the token is for, and for how long.

    Raises:
        TokenRejectedError: Not a JWT of a signed-in user, or of the service_role.
    """
    advice = "pass the access token of a signed-in user, not an API key"
    claims = read_payload(token)
    if claims is None:
        raise TokenRejectedError(f"The access token is malformed: {advice}")
    if _is_service_role(claims):
        raise TokenRejectedError(
            f"A service_role token must never be in a customer's app: {advice}"
        )
    user_id = claims.get("sub")
    if not isinstance(user_id, str) or not user_id:
        raise TokenRejectedError(f"The access token names no user: {advice}")
    return TokenClaims(user_id, _seconds(claims.get("exp")), _seconds(claims.get("iat")))


def _is_service_role(claims: dict[str, Any] | None) -> bool:
    return (claims or {}).get("role") == "service_role"


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
