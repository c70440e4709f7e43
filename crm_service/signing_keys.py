"""The project's public signing keys: fetched from Auth, cached, renewed when they rotate."""

import asyncio
import contextlib
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
# How long who has a known key waits for newer ones.
_PATIENCE_S = 1.0
_PUBLIC_KEY_TYPES = frozenset({"EC", "RSA"})
# What `supabase start` signs with unless it is told otherwise; its private half is public.
_DEMO_KEY_X = "M5Sjqn5zwC9Kl1zVfUUGvv9boQjCGd45G8sdopBExB4"


class SigningKeys:
    """Public keys by key id; owns the cache, borrows the HTTP client.

    Args:
        http: Shared client; not closed here.
        url: Address of the JWKS document.
        ttl_s: Age after which the document is fetched again.
        retry_after_s: What to tell callers when no key can be had.
        demo: Whether the well-known key of `supabase start` is one of the project's.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        url: str,
        *,
        ttl_s: float,
        retry_after_s: int,
        demo: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._http = http
        self._url = url
        self._ttl_s = ttl_s
        self._retry_after_s = retry_after_s
        self._demo = demo
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._failed = False
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str) -> jwt.PyJWK:
        """Return the public key with this id.

        Old keys stay in use while Auth cannot be reached.

        Raises:
            TokenRejectedError: The project has no such key.
            UpstreamUnavailableError: The key is not known, and Auth does not answer.

        Cancellation:
            Safe; what is being fetched is fetched for the others.
        """
        if self._must_wait(kid):
            patience_s = _PATIENCE_S if kid in self._keys else None
            await asyncio.wait({self._fetch_once()}, timeout=patience_s)
        key = self._keys.get(kid)
        if key is not None:
            return key
        if self._failed or self._fetched_at is None:
            # It may be a new one: to sign in again would not help.
            raise self._unavailable()
        raise TokenRejectedError(
            "The token is signed with a key that this project does not have. Sign in again "
            "at the Supabase project this service is configured for."
        )

    async def probe(self) -> None:
        """Raise unless keys are known or can be fetched.

        Raises:
            UpstreamUnavailableError: No keys are known and Auth does not answer.
        """
        if self._fetched_at is None:
            await asyncio.wait({self._fetch_once()})
            if self._fetched_at is None:
                raise self._unavailable()

    def _must_wait(self, kid: str) -> bool:
        if self._fetched_at is None:
            return True
        if self._fetching is not None:
            return kid not in self._keys
        now = self._clock()
        if self._tried_at is not None and now - self._tried_at < _MIN_REFETCH_INTERVAL_S:
            return False
        return kid not in self._keys or now - self._fetched_at >= self._ttl_s

    def _fetch_once(self) -> asyncio.Task[None]:
        """Return the attempt that is under way, or begin one: all who ask share its outcome."""
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch(), name="crm-signing-keys")
        return self._fetching

    async def _fetch(self) -> None:
        try:
            response = await self._http.get(self._url)
            response.raise_for_status()
            self._keys = _parse_jwks(response.json(), demo=self._demo)
        except (httpx.HTTPError, ValueError) as error:
            logger.warning("signing keys not fetched", extra={"reason": type(error).__name__})
            self._failed = True
        else:
            self._fetched_at = self._clock()
            self._failed = False
        finally:
            self._fetching = None

    def _unavailable(self) -> UpstreamUnavailableError:
        return UpstreamUnavailableError(
            "The project's signing keys could not be read from Supabase Auth. Is "
            "SUPABASE_URL right and the project running?",
            retry_after_s=self._retry_after_s,
        )


def _parse_jwks(document: Any, *, demo: bool) -> dict[str, jwt.PyJWK]:
    """Keep the public signing keys that have an id; a symmetric key never belongs here."""
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("not a JWKS document")  # noqa: TRY004 - caught as a bad document
    keys: dict[str, jwt.PyJWK] = {}
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("kty") not in _PUBLIC_KEY_TYPES:
            continue
        if entry.get("x") == _DEMO_KEY_X and not demo:
            logger.error("the project signs with the demo key of supabase start: it is refused")
            continue
        # One of a kind that is not known here must not hide the others.
        with contextlib.suppress(jwt.PyJWTError, ValueError):
            if isinstance(kid := entry.get("kid"), str):
                keys[kid] = jwt.PyJWK(entry)
    return keys
