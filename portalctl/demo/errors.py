"""What can go wrong in a demo before it has a result. All of them end the command with one line."""

from __future__ import annotations

from portalctl.exits import CommandError, EnvironmentUnusableError, UsageError


class DayFileError(UsageError):
    """The recorded day cannot be read or does not make sense."""


class ProcessFailedError(EnvironmentUnusableError):
    """A server of the demo did not start, or ended while it was needed.

    Args:
        name: Which server, as the user knows it.
        reason: What happened, with its exit status.
        log_tail: Its last words on standard error.
    """

    def __init__(self, name: str, reason: str, log_tail: str = "") -> None:
        self.name = name
        self.log_tail = log_tail
        advice = f"Its last words: {log_tail}" if log_tail else "It said nothing."
        super().__init__(f"{name} {reason}.", advice)


class WriteRefusedError(CommandError):
    """A staff action of the recorded day was refused: the rest of the day would not hold."""


class PortalNotReadyError(CommandError):
    """A customer's portal did not become live in time."""
