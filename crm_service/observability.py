"""Structured logs; never a token, a body, a query or an id of a row."""

import json
import logging
import sys
import time
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, ClassVar

from pydantic_core import to_json

from crm_service.log_lines import JoinedLinesHandler, LastingRecord

current_request_id: ContextVar[str | None] = ContextVar("crm_request_id", default=None)
"""The request that is being answered, for the lines that are logged meanwhile."""

_ENCODER = json.JSONEncoder(default=str, separators=(",", ":"))
_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "color_message",
}
# These log whole addresses and frames, and with them filters, row ids, keys and tokens.
_TALKATIVE_LOGGERS = ("httpx", "httpcore", "websockets")


class RequestRecord(LastingRecord):
    """The log record of one request: what a usual record finds out by itself is constant here.

    Finding out thread, process and place of the call costs more than writing the line.

    Args:
        name: Of the logger.
        request_id: Of the request.
        fields: What else the line says, plain values.
    """

    request_id: str
    fields: dict[str, str | float | None]

    # A dict of its own: that of an object is laid out in another way, and copied one by one.
    _CONSTANT: ClassVar = dict(
        vars(logging.LogRecord("", logging.INFO, __file__, 0, "request", (), None, "__call__"))
    )

    def __init__(  # pyright: ignore[reportMissingSuperCall] - that it is left out is the point
        self, name: str, request_id: str, **fields: str | float | None
    ) -> None:
        created = time.time()
        self.__dict__ = {
            **self._CONSTANT,
            "name": name,
            "request_id": request_id,
            "fields": fields,
            "created": created,
            "msecs": created % 1 * 1000,
        }


class JsonFormatter(logging.Formatter):
    """One JSON object per line; exceptions by class and place, without their message."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        entry: dict[str, Any] = {
            "at": f"{_render_second(int(record.created))}.{int(record.msecs):03d}+00:00",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if isinstance(record, RequestRecord):
            # Its values are plain: the quicker encoder does.
            return to_json({**entry, "request_id": record.request_id, **record.fields}).decode()
        if (request_id := current_request_id.get()) is not None:
            entry["request_id"] = request_id
        extra = vars(record).items()
        entry |= {name: value for name, value in extra if name not in _STANDARD_ATTRIBUTES}
        if record.exc_info and record.exc_info[0] is not None:
            entry["error"] = record.exc_info[0].__name__
            entry["trace"] = _places(record.exc_info[2])
        return _ENCODER.encode(entry)


@lru_cache(1)
def _render_second(second: int) -> str:
    """Return an instant without its fraction and zone; the lines of a moment share it."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _places(trace: TracebackType | None) -> list[str]:
    return [
        f"{frame.name} {frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(trace)
    ]


def configure_logging(level: str) -> None:
    """Send all logs to standard error as JSON lines.

    Args:
        level: Name of the lowest level to keep.
    """
    handler = JoinedLinesHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Nobody prints these; finding them out at every line costs as much as the line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for name in _TALKATIVE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


__all__ = ["JsonFormatter", "RequestRecord", "configure_logging", "current_request_id"]
