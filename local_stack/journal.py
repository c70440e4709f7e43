"""The log file of one stack: plain lines or JSON lines, without secrets and without row data.

What a record says is kept; what it might carry along is not: keys, tokens and passwords in URLs
are masked, and an exception is written as its type, its place in the code and, where the text is
known to be harmless, its message. The detail of a database error quotes rows and is dropped.
"""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import re
import sys
import time
import traceback
from typing import TYPE_CHECKING

import asyncpg

from local_stack.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOGGERS = ("local_stack", "uvicorn.error", "asyncpg")
FILE_BYTES = 5_000_000
KEPT_FILES = 2
MASK = "[removed]"
_SECRETS = re.compile(
    r"eyJ[\w-]{8,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|\bsb_(?:secret|publishable)_[\w-]+"
    r"|(?<=://)[^\s/@]+:[^\s/@]+(?=@)"  # user and password of a URL
    r"|(?:(?<=apikey=)|(?<=token=))[^\s&\"']+"  # of a query, also escaped
)
_TIME = "%Y-%m-%dT%H:%M:%S"


def without_secrets(text: str) -> str:
    """Return the text with keys, tokens and passwords of URLs masked."""
    return _SECRETS.sub(MASK, text)


class SecretsFilter(logging.Filter):
    """Mask what a foreign library is about to log, for every handler: the program's own too."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, without keys and tokens in its message."""
        text = record.getMessage()
        masked = without_secrets(text)
        if masked != text:
            record.msg, record.args = masked, None
        return True


def describe_failure(error: BaseException) -> str:
    """Return an exception as text without values: types, places, harmless messages."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < 5:
        # A database that is not there has no place in the code; what waits for it tries again.
        absent = isinstance(current, (ConnectionError, asyncpg.CannotConnectNowError))
        frames = "" if absent else "".join(traceback.format_tb(current.__traceback__))
        parts.append(f"{frames}{type(current).__name__}: {_message_of(current)}".rstrip(": "))
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return without_secrets("\ncaused by:\n".join(parts))


def _message_of(error: BaseException) -> str:
    if isinstance(error, asyncpg.PostgresError):
        return f"[{error.sqlstate}] {error.args[0] if error.args else ''}"
    return str(error) if isinstance(error, (StackError, OSError)) else ""


class TextFormatter(logging.Formatter):
    """One line per record; the lines of an exception follow it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", _TIME)
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        time_text = self.formatTime(record, _TIME)
        head = f"{time_text}.{int(record.msecs):03d}Z {record.levelname} {record.name}"
        line = without_secrets(f"{head}: {record.getMessage()}")
        error = record.exc_info[1] if record.exc_info else None
        return line if error is None else f"{line}\n{describe_failure(error)}"


class JsonFormatter(TextFormatter):
    """One JSON object per line: time, level, logger, message, process and, if any, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        facts: dict[str, object] = {
            "time": f"{self.formatTime(record, _TIME)}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            "process": record.process,
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            facts["exception"] = {
                "type": type(error).__name__,
                "text": describe_failure(error),
            }
        return json.dumps(facts, ensure_ascii=False)


class JournalHandler(logging.handlers.RotatingFileHandler):
    """A rotating file that never disturbs its program: lines that cannot be written are counted."""

    def __init__(self, file: Path) -> None:
        super().__init__(file, maxBytes=FILE_BYTES, backupCount=KEPT_FILES, encoding="utf-8")
        self._lost_count = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; say before it how many could not be written."""
        lost, self._lost_count = self._lost_count, 0
        if lost:
            text = "%d lines of this log could not be written; is the disk full?"
            told = logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (lost,), None)
            super().emit(told)
            if self._lost_count:
                self._lost_count += lost
                return
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """Count the record as lost."""
        del record
        if isinstance(sys.exc_info()[1], OSError):
            self._lost_count += 1
            # What could not be written is still in the buffer, and would be written twice.
            with contextlib.suppress(OSError, ValueError):
                if self.stream is not None:
                    self.stream.close()
            self.stream = None  # reopened by the next record


@contextlib.contextmanager
def logging_to(file: Path, level: str, form: str = "text") -> Iterator[None]:
    """Write the servers' log records to a file while this context is open.

    Args:
        file: Appended to; rotated at `FILE_BYTES`.
        level: Lowest level that is written: debug, info, warning or error.
        form: "text" or "json".
    """
    handler = JournalHandler(file)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.setLevel(level.upper())
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addHandler(handler)
        if logger.getEffectiveLevel() > handler.level:
            logger.setLevel(handler.level)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        with contextlib.suppress(OSError):
            handler.close()
