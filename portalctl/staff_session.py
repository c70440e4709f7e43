"""The session of a member of staff, for commands that run longer than a token is good for."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic import SecretStr

from portalctl.exits import CommandError, EnvironmentUnusableError

# A token is renewed when it has less than this left: an import takes some seconds, not minutes.
_MARGIN_S = 120.0
_TIMEOUT_S = 30.0


@dataclass
class StaffSession:
    """Sign in with e-mail and password, and again as often as needed.

    Args:
        url: Of the Supabase project.
        api_key: Its publishable key.
        email: Of the member of staff.
        password: Their password.
    """

    url: str
    api_key: str
    email: str
    password: SecretStr
    _token: str = field(default="", repr=False)
    _renew_at: float = 0.0

    async def token(self) -> str:
        """Return an access token with some time left.

        Raises:
            CommandError: E-mail and password were refused.
            EnvironmentUnusableError: Auth cannot be reached, or fails.
        """
        if time.monotonic() >= self._renew_at:
            await self._sign_in()
        return self._token

    def end(self) -> None:
        """Sign in anew when a token is asked for the next time."""
        self._renew_at = 0.0

    async def _sign_in(self) -> None:
        body = {"email": self.email, "password": self.password.get_secret_value()}
        address = f"{self.url.rstrip('/')}/auth/v1/token?grant_type=password"
        asked_at = time.monotonic()
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as http:
                response = await http.post(address, json=body, headers={"apikey": self.api_key})
            answer: dict[str, Any] = response.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise EnvironmentUnusableError(
                f"Auth cannot be asked ({type(error).__name__}).", "Is SUPABASE_URL right?"
            ) from error
        if response.status_code in {400, 401, 403, 422}:
            raise CommandError("Auth refused the sign-in.", "Check CRM_EMAIL and CRM_PASSWORD.")
        if not response.is_success or "access_token" not in answer:
            raise EnvironmentUnusableError(f"Auth answered {response.status_code}.", "Try again.")
        self._token = answer["access_token"]
        lifetime_s = float(answer.get("expires_in", 0))
        self._renew_at = asked_at + max(lifetime_s - _MARGIN_S, lifetime_s / 2)
