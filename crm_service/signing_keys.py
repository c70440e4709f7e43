"""The project's public signing keys: fetched from Auth, cached, renewed when they rotate."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt

from crm_service.errors import TokenRejectedError, UpstreamUnavailableError

logger = logging.getLogger(__name__)

# An unknown key id makes us look again, but a flood of made-up ids must not become a flood of
# requests to Auth.
_MIN_REFETCH_INTERVAL_S = 10.0
_PUBLIC_KEY_TYPES = frozenset({"EC", "RSA"})


class SigningKeys:
    """Public keys by key id; owns the cache, borrows the HTTP client.

    Args:
        http: Shared client; not closed here.
        url: Address of the JWKS document.
        ttl_s: Age after which the document is fetched again.
        retry_after_s: What to tell callers when no key can be had.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        *,
        ttl_s: float,
        retry_after_s: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._url = url
        self._ttl_s = ttl_s
        self._retry_after_s = retry_after_s
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()

    async def find(self, kid: str) -> jwt.PyJWK:
        """Return the public key with this id.

        Old keys stay in use while Auth cannot be reached.

        Raises:
            TokenRejectedError: The project has no such key.
            UpstreamUnavailableError: No keys are known and Auth does not answer.

        Cancellation:
            Safe; another waiting caller fetches instead.
        """
        if self._must_fetch(kid):
            async with self._fetching:
                if self._must_fetch(kid):
                    await self._fetch()
        key = self._keys.get(kid)
        if key is None:
            raise TokenRejectedError(
                "The token is signed with a key that this project does not have. Sign in again "
                "at the Supabase project this service is configured for."
            )
        return key

    async def probe(self) -> None:
        """Raise unless keys are known or can be fetched.

        Raises:
            UpstreamUnavailableError: No keys are known and Auth does not answer.
        """
        if self._fetched_at is None:
            async with self._fetching:
                await self._fetch()

    def _must_fetch(self, kid: str) -> bool:
        now = self._clock()
        if self._fetched_at is None:
            return True
        if self._tried_at is not None and now - self._tried_at < _MIN_REFETCH_INTERVAL_S:
            return False
        return kid not in self._keys or now - self._fetched_at >= self._ttl_s

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            response = await self._http.get(self._url)
            response.raise_for_status()
            keys = _parse_jwks(response.json())
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            logger.warning("signing keys not fetched", extra={"reason": type(error).__name__})
            if self._fetched_at is None:
                raise UpstreamUnavailableError(
                    "The project's signing keys could not be read from Supabase Auth. Is "
                    "SUPABASE_URL right and the project running?",
                    retry_after_s=self._retry_after_s,
                ) from error
            return
        self._keys = keys
        self._fetched_at = self._clock()


def _parse_jwks(document: Any) -> dict[str, jwt.PyJWK]:
    """Keep the public signing keys that have an id; a symmetric key never belongs here."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS document")  # noqa: TRY004 - caught as a bad document
    return {
        entry["kid"]: jwt.PyJWK(entry)
        for entry in entries
        if isinstance(entry, dict) and entry.get("kty") in _PUBLIC_KEY_TYPES and "kid" in entry
    }
