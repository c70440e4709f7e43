"""What the driver needs of a doorbell transport. Nothing here knows which library carries it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from portal_sdk._core.events import (
    DoorbellJoined,
    DoorbellLost,
    DoorbellRang,
    HeartbeatAnswered,
    LossKind,
)
from portal_sdk.types import DoorbellKind

DoorbellEvent = DoorbellJoined | DoorbellRang | DoorbellLost | HeartbeatAnswered
Sink = Callable[[DoorbellEvent], None]


class DoorbellLink(Protocol):
    """One generation: one socket, one join. Thrown away, never repaired."""

    async def open(self) -> None:
        """Connect and join; report the outcome, and everything later, through the sink."""
        ...

    async def push_token(self, token: str) -> None:
        """Give the server a fresh token for the joined channel."""
        ...

    async def heartbeat(self) -> None:
        """Ask the server for a sign of life; the answer comes through the sink."""
        ...

    async def close(self) -> None:
        """Release the socket and every task of this generation."""
        ...


class Transport(Protocol):
    """Makes links."""

    def create_link(
        self, generation: int, scope: str, token: str, sink: Sink, kind: DoorbellKind
    ) -> DoorbellLink:
        """Return a new link for this generation; no I/O yet."""
        ...


TOKEN_CODES = frozenset(
    {"InvalidJWTToken", "MalformedJWT", "JwtSignatureError", "JwtSignerError", "TokenExpired"}
)
TOKEN_WORDS = ("token has expired", "token provided", "fields `role`", "signature", "jwt")
DENIED_WORDS = ("do not have permission", "no longer have permission")
RATE_WORDS = ("too many", "rate limit")


def parse_reason(reason: str) -> tuple[str, str]:
    """Split ``Code: sentence``; the code is empty when there is none."""
    code, separator, sentence = reason.partition(": ")
    if separator and code.isidentifier() and code[0].isupper():
        return code, sentence
    return "", reason


def classify_reason(reason: str) -> LossKind:
    """Return what a server's reason for refusing or ending a channel asks us to do."""
    code, sentence = parse_reason(reason)
    lowered = sentence.lower()
    if code == "Unauthorized" or any(word in lowered for word in DENIED_WORDS):
        return LossKind.DENIED
    if code in TOKEN_CODES or any(word in lowered for word in TOKEN_WORDS):
        return LossKind.TOKEN
    if code.endswith("RateLimitReached") or any(word in lowered for word in RATE_WORDS):
        return LossKind.RATE_LIMITED
    return LossKind.CHANNEL
