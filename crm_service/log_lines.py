"""A log handler that writes the lines of a moment together.

A line that is written wakes whoever reads it, on the same processors: one by one, the lines of busy
requests cost the event loop more than what they tell of. Many in a row are also made more cheaply
than each between other work, so records that do not change are made into lines then.
"""

import asyncio
import contextlib
import logging
from typing import TextIO

_DELAY_S = 0.05
_MAX_LINES = 200


class LastingRecord(logging.LogRecord):
    """A record that says the same later and elsewhere: all it tells of stands in it."""


class JoinedLinesHandler(logging.StreamHandler[TextIO]):
    """Write lines within 50 ms, warnings and what stands before them at once.

    Where no event loop runs there is nobody to come back later, and lines are written at once. The
    end of the process writes what is left (``logging.shutdown``); a killed one loses 50 ms.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._kept: list[str | LastingRecord] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line for a moment, or write it with those that were kept."""
        try:
            if isinstance(record, LastingRecord):
                self._kept.append(record)
            else:
                self._kept.append(self.format(record))
        except Exception:  # noqa: BLE001 - as all handlers: a bad record must not stop its writer
            self.handleError(record)
            return
        loop = asyncio._get_running_loop()  # noqa: SLF001 - get_running_loop, without raising
        if loop is None or record.levelno >= logging.WARNING or len(self._kept) >= _MAX_LINES:
            self.flush()
        elif self._loop is not loop:
            self._loop = loop
            loop.call_later(_DELAY_S, self.flush)

    def flush(self) -> None:
        """Write what was kept."""
        with self.lock or contextlib.nullcontext():
            self._loop = None
            if self._kept:
                kept, self._kept = self._kept, []
                self.stream.write("".join([self._line(each) for each in kept]))
            super().flush()

    def _line(self, kept: str | LastingRecord) -> str:
        if isinstance(kept, str):
            return kept + self.terminator
        try:
            return self.format(kept) + self.terminator
        except Exception:  # noqa: BLE001 - it must not take the others along
            self.handleError(kept)
            return ""
