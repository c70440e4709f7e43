"""What a check found. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended; a problem makes the command fail."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What was looked at, in a few words.
        verdict: How it ended.
        text: What was seen; no secrets, no row data.
        advice: What to do about it; never empty for a warning, a problem or a skipped check.
        latency_ms: Milliseconds, where the check measured a round trip.
    """

    subject: str
    verdict: Verdict
    text: str
    advice: str = ""
    latency_ms: float | None = None


def ok(subject: str, text: str, latency_ms: float | None = None) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(subject, Verdict.OK, text, latency_ms=latency_ms)


def warning(subject: str, text: str, advice: str) -> Finding:
    """Return a finding that works, but not as well as it should."""
    return Finding(subject, Verdict.WARNING, text, advice)


def problem(subject: str, text: str, advice: str) -> Finding:
    """Return a finding that keeps the product from working, or from being safe."""
    return Finding(subject, Verdict.PROBLEM, text, advice)


def skipped(subject: str, text: str, advice: str) -> Finding:
    """Return a check that could not be made, and what it needs."""
    return Finding(subject, Verdict.SKIPPED, text, advice)
