"""What the database's clock says, as far as its answers told; this machine's may be minutes wrong.

An answer that says when it was made was made between the sending of the request and its own
arrival. So each answer bounds the difference of the two clocks, and a difference that the answers
do not prove is taken for none: on a machine whose clock is right nothing is shifted.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime


class ServerClock:
    """The difference of two clocks; owned by one portal, and read in any thread.

    Attributes:
        offset_s: To be added to this machine's clock; 0 before the first answer.
    """

    __slots__ = ("offset_s",)

    def __init__(self) -> None:
        self.offset_s = 0.0

    def note(self, said: str | None, sent_s: float, received_s: float) -> None:
        """Learn from an answer.

        Args:
            said: The database's clock in the answer, ISO 8601 with an offset.
            sent_s: This machine's clock (``time.time``) when the request was sent.
            received_s: The same when the answer had come.
        """
        try:
            said_s = datetime.fromisoformat(said or "").timestamp()
        except ValueError:
            return  # an older database says nothing
        least_s, most_s = said_s - received_s, said_s - sent_s
        if least_s > most_s:
            return  # this machine's clock was set in between
        if self.offset_s < least_s:
            self.offset_s = least_s
        elif self.offset_s > most_s:
            self.offset_s = most_s

    def now_s(self) -> float:
        """Return the database's time, in seconds since 1970; right to about one round trip."""
        return time.time() + self.offset_s

    def now(self) -> datetime:
        """Return the database's time, in UTC; right to about one round trip."""
        return datetime.fromtimestamp(self.now_s(), UTC)
