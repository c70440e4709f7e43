"""Exit codes and the error tree of the command line. Standard library only."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit status of every command means."""

    OK = 0
    FAILURE = 1
    """The command ran and found, or met, something wrong."""
    USAGE = 2
    """The command line itself is wrong; nothing was started."""
    ENVIRONMENT = 3
    """Something outside is missing: stack not running, port taken, package absent."""
    INTERRUPTED = 130
    """Ctrl-C; everything that was started has been stopped."""


class CommandError(Exception):
    """Root of what a command reports to its user as one line.

    Args:
        problem: What is wrong, one sentence, no secrets and no row data.
        advice: What to do about it, one sentence; empty when the problem already says so.
    """

    code: ExitCode = ExitCode.FAILURE

    def __init__(self, problem: str, advice: str = "") -> None:
        self.problem = problem
        self.advice = advice
        super().__init__(f"{problem} {advice}".strip())


class UsageError(CommandError):
    """The options contradict each other or name something that does not exist."""

    code = ExitCode.USAGE


class EnvironmentUnusableError(CommandError):
    """Something the command needs from this machine is missing, taken or not running."""

    code = ExitCode.ENVIRONMENT
