"""Settings of the auth server."""

from __future__ import annotations

from dataclasses import dataclass

from local_stack.errors import StackConfigError

_BCRYPT_ROUNDS = range(4, 16)


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """What an auth server is started with; the defaults are those of a Supabase project.

    Attributes:
        issuer: ``iss`` of the tokens: the public address of this server, ending in ``/auth/v1``.
        access_token_lifetime_s: seconds from issue to ``exp`` of an access token.
        refresh_reuse_interval_s: seconds during which a used refresh token may be sent again.
        password_min_chars: shortest password that is accepted.
        bcrypt_rounds: cost of new password hashes; a sign-in of an unknown user costs as much.
        max_waiting_passwords: sign-ins and the like that may wait for bcrypt at once; more get 429.
        max_password_wait_s: longest wait of one of them, then 504. GoTrue answers 504 when a whole
            request takes longer than these 10 s (``GOTRUE_API_MAX_REQUEST_DURATION``).
        signup_enabled: whether ``POST /signup`` creates users.
        max_body_bytes: longest request body.
        pool_size: database connections at most.
        database_timeout_s: seconds to wait for a free connection or a query.
    """

    issuer: str = "http://127.0.0.1:54321/auth/v1"
    access_token_lifetime_s: int = 3600
    refresh_reuse_interval_s: float = 10.0
    password_min_chars: int = 6
    bcrypt_rounds: int = 10
    max_waiting_passwords: int = 1_000
    max_password_wait_s: float = 10.0
    signup_enabled: bool = True
    max_body_bytes: int = 1_000_000
    pool_size: int = 8
    database_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        """Refuse settings that cannot work."""
        if self.access_token_lifetime_s < 1:
            raise StackConfigError("access_token_lifetime_s must be at least 1 second.")
        if self.refresh_reuse_interval_s < 0:
            raise StackConfigError("refresh_reuse_interval_s must not be negative.")
        if self.bcrypt_rounds not in _BCRYPT_ROUNDS:
            raise StackConfigError("bcrypt_rounds must be between 4 and 15.")
        if self.max_waiting_passwords < 0:
            raise StackConfigError("max_waiting_passwords must not be negative.")
        if self.max_password_wait_s <= 0:
            raise StackConfigError("max_password_wait_s must be more than 0 seconds.")
        if self.pool_size < 1:
            raise StackConfigError("pool_size must be at least 1.")
