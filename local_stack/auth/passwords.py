"""Hash and compare passwords with bcrypt, outside the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import bcrypt

from local_stack.auth.errors import WeakPasswordError, validation_failed
from local_stack.auth.turns import Gone, Turns

_log = logging.getLogger("local_stack.auth")

_MAX_PASSWORD_BYTES = 72  # bcrypt reads no further
_WORKERS = 2

T = TypeVar("T")


class PasswordHasher:
    """bcrypt in a small thread pool of its own, so that sign-ins do not stop other requests.

    Work waits on the event loop, not in the pool, so that a caller who goes away costs no hash.
    The owner calls ``close``.
    """

    def __init__(self, rounds: int, *, max_waiting: int, max_wait_s: float) -> None:
        self._rounds = rounds
        self._turns = Turns(_WORKERS, max_waiting=max_waiting, max_wait_s=max_wait_s)
        self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="auth-bcrypt")
        self._decoy = bcrypt.hashpw(b"no user has this password", bcrypt.gensalt(rounds))

    def close(self) -> None:
        """Let running work finish and end the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    @property
    def waiting(self) -> int:
        """How many callers wait for their turn."""
        return self._turns.waiting

    async def hash(self, password: str, gone: Gone) -> str:
        """Return the bcrypt hash of a password that ``check_strength`` let pass.

        Args:
            password: any length that bcrypt reads.
            gone: returns once nobody waits for the answer.

        Raises:
            ClientDisconnect: the caller left before the turn came.
            AuthError: 504 or 429, too many at once; see ``Turns.turn``.

        Cancellation:
            Safe; work that has begun is finished in its thread and dropped.
        """
        raw = password.encode(errors="surrogatepass")
        salted = await self._run(gone, bcrypt.hashpw, raw, bcrypt.gensalt(self._rounds))
        return salted.decode("ascii")

    async def matches(self, password: str, stored_hash: str | None, gone: Gone) -> bool:
        """Tell whether the password belongs to the hash.

        With no hash (no such user, or a user without a password) the answer is False after the
        same work, so that the time taken does not tell whether the user exists. ``gone``, errors
        and cancellation are those of ``hash``.
        """
        raw = password.encode(errors="surrogatepass")[:_MAX_PASSWORD_BYTES]
        stored = stored_hash.encode(errors="replace") if stored_hash else self._decoy
        try:
            same = await self._run(gone, bcrypt.checkpw, raw, stored)
        except ValueError:
            _log.warning("a stored password hash is not bcrypt; the sign-in is refused")
            return False
        return same and bool(stored_hash)

    async def _run(
        self, gone: Gone, work: Callable[[bytes, bytes], T], first: bytes, second: bytes
    ) -> T:
        loop = asyncio.get_running_loop()
        async with self._turns.turn(gone):
            return await loop.run_in_executor(self._threads, work, first, second)


def check_strength(password: str, min_chars: int) -> None:
    """Refuse a password that is too short or longer than bcrypt can tell apart.

    Raises:
        WeakPasswordError: fewer than ``min_chars`` characters.
        AuthError: more than 72 bytes.
    """
    if len(password.encode(errors="surrogatepass")) > _MAX_PASSWORD_BYTES:
        raise validation_failed(f"Password cannot be longer than {_MAX_PASSWORD_BYTES} characters")
    if len(password) < min_chars:
        raise WeakPasswordError(f"Password should be at least {min_chars} characters.", ("length",))
