"""Who is typing: marks that expire by themselves. Pure."""

from __future__ import annotations


class TypingRoster:
    """Keys with the time their mark ends (CAST-4)."""

    def __init__(self, expiry_s: float) -> None:
        self._expiry_s = expiry_s
        self._ends_at: dict[str, float] = {}

    @property
    def keys(self) -> frozenset[str]:
        """Who is typing now."""
        return frozenset(self._ends_at)

    def mark(self, key: str, now: float, *, is_typing: bool) -> bool:
        """Take a mark in; return whether ``keys`` changed."""
        before = key in self._ends_at
        if is_typing:
            self._ends_at[key] = now + self._expiry_s
        else:
            self._ends_at.pop(key, None)
        return before != is_typing

    def next_deadline(self) -> float | None:
        """Return when the next mark ends, or None."""
        return min(self._ends_at.values(), default=None)

    def expire(self, now: float) -> bool:
        """Drop the marks that ended; return whether ``keys`` changed."""
        ended = [key for key, at in self._ends_at.items() if now >= at]
        for key in ended:
            del self._ends_at[key]
        return bool(ended)
