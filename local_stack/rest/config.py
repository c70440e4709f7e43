"""Settings of the REST server."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RestConfig:
    """Fixed settings of one REST server.

    Args:
        schemas: Exposed schemas; the first one is used when no profile header is sent.
        extra_search_path: Schemas searched after the exposed one (functions, operators, types).
        anon_role: Role of a request without a token.
        max_rows: Most rows a read or a function returns, ``None`` for no limit. Supabase's default.
        pool_size: Most database connections at once.
        pool_timeout_s: Longest wait for a free connection; then 504 with ``PGRST003``.
        connect_timeout_s: Longest wait for a new connection; then 503 with ``PGRST000``.
        statement_timeout_ms: Longest run of one statement, 0 for none.
        max_body_bytes: Largest request body; then 413.
        max_url_bytes: Longest path and query string together; then 414.
        allow_transaction_preference: Whether ``Prefer: tx=rollback`` is honoured.
        token_cache_s: How long a verified token is remembered before it is verified again.
    """

    schemas: tuple[str, ...] = ("public",)
    extra_search_path: tuple[str, ...] = ("public", "extensions")
    anon_role: str = "anon"
    max_rows: int | None = 1000
    pool_size: int = 10
    pool_timeout_s: float = 10.0
    connect_timeout_s: float = 5.0
    statement_timeout_ms: int = 8000
    max_body_bytes: int = 10 * 1024 * 1024
    max_url_bytes: int = 48 * 1024
    allow_transaction_preference: bool = False
    token_cache_s: float = 5.0
