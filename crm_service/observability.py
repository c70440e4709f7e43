"""Request ids and structured logs; never a token, a body, a query or an id of a row."""

import asyncio
import json
import logging
import random
import re
import sys
import time
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, ClassVar

from pydantic_core import to_json
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_service.fast_path import ROUTE_KEY
from crm_service.headers import header
from crm_service.log_lines import JoinedLinesHandler
from crm_service.metrics import Metrics
from crm_service.problems import PROBLEM_HEADER, internal_problem

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID_NAME = REQUEST_ID_HEADER.lower().encode()
_PROBLEM_NAME = PROBLEM_HEADER.lower().encode()
_ACCEPTABLE_ID = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")
_request_id: ContextVar[str | None] = ContextVar("crm_request_id", default=None)
_ENCODER = json.JSONEncoder(default=str, separators=(",", ":"))
_STANDARD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "color_message",
}
# These log whole addresses and frames, and with them filters, row ids, keys and tokens.
_TALKATIVE_LOGGERS = ("httpx", "httpcore", "websockets")


class RequestContext:
    """Pure ASGI middleware: give each request an id, log it once, turn bugs into problems.

    A caller's ``X-Request-Id`` is kept if it is short and plain; the answer always has one.

    Args:
        app: Who answers.
        metrics: Where requests are counted.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; only HTTP requests get an id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = choose_request_id(header(scope, _REQUEST_ID_NAME))
        scope.setdefault("state", {})["request_id"] = request_id
        reset = _request_id.set(request_id)
        exchange = _Exchange(send, request_id)
        started = time.perf_counter()
        self._metrics.request_started()
        try:
            await self._app(scope, receive, exchange.send)
        except Exception:
            logger.exception("request failed with a bug")
            if exchange.status is not None:
                raise
            await internal_problem(request_id)(scope, receive, exchange.send)
        finally:
            duration_s = time.perf_counter() - started
            # Later: what was sent leaves the process when this turn of the event loop ends. The
            # context goes along, and with it the request id.
            asyncio.get_running_loop().call_soon(self._note, scope, exchange, duration_s)
            _request_id.reset(reset)

    def _note(self, scope: Scope, exchange: "_Exchange", duration_s: float) -> None:
        """Count and log a request that was answered."""
        route = route_template(scope)
        self._metrics.request_ended(scope["method"], route, exchange.status, duration_s)
        exchange.count(self._metrics)
        if logger.isEnabledFor(logging.INFO):
            logger.handle(RequestRecord(scope["method"], route, exchange.status, duration_s * 1000))


class _Exchange:
    """Watch an answer go by: note its status, add the request id."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._id = request_id
        self.status: int | None = None
        self._replayed = False
        self._merged = False
        self._problem: str | None = None

    def count(self, metrics: Metrics) -> None:
        """Count what the answer says about itself."""
        if self._replayed:
            metrics.replayed()
        if self._merged:
            metrics.merged()
        if self._problem is not None:
            metrics.problem(self._problem)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"]
            for name, value in headers:
                if name == b"idempotency-replayed":
                    self._replayed = True
                elif name == b"x-merged-fields":
                    self._merged = True
                elif name == _PROBLEM_NAME:
                    self._problem = value.decode("latin-1")
            headers.append((_REQUEST_ID_NAME, self._id.encode("latin-1")))
        await self._send(message)


def choose_request_id(offered: str | None) -> str:
    """Return the caller's id if it is short and plain, else a new one."""
    if offered is not None and _ACCEPTABLE_ID.match(offered):
        return offered
    # Nobody's guess at it would do harm, and the system's randomness costs ten times as much.
    return f"{random.getrandbits(128):032x}"


class RequestRecord(logging.LogRecord):
    """The log record of one request: what a usual record finds out by itself is constant here.

    Finding out thread, process and place of the call costs more than writing the line.

    Args:
        method: HTTP method.
        route: Path with names instead of values.
        status: Of the answer; None if there was none.
        duration_ms: From arrival to the end of the answer.
    """

    _CONSTANT: ClassVar = vars(
        logging.LogRecord(logger.name, logging.INFO, __file__, 0, "request", (), None, "__call__")
    )

    def __init__(  # pyright: ignore[reportMissingSuperCall] - that it is left out is the point
        self, method: str, route: str, status: int | None, duration_ms: float
    ) -> None:
        vars(self).update(self._CONSTANT)
        self.fields = {
            "method": method,
            "route": route,
            "status": status,
            "duration_ms": round(duration_ms, 2),
        }
        self.created = time.time()
        self.msecs = self.created % 1 * 1000


def route_template(scope: Scope) -> str:
    """Return the path with names instead of values, since paths hold ids of customers."""
    if ROUTE_KEY in scope:
        return str(scope[ROUTE_KEY])
    if "route" not in scope:
        return "unmatched"
    names = {str(value): name for name, value in scope.get("path_params", {}).items()}
    segments = str(scope["path"]).split("/")
    return "/".join(f"{{{names[part]}}}" if part in names else part for part in segments)


class JsonFormatter(logging.Formatter):
    """One JSON object per line; exceptions by class and place, without their message."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        entry: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if (request_id := _request_id.get()) is not None:
            entry["request_id"] = request_id
        if isinstance(record, RequestRecord):
            # Its values are plain: the quicker encoder does.
            return to_json(entry | record.fields).decode()
        extra = vars(record).items()
        entry |= {name: value for name, value in extra if name not in _STANDARD_ATTRIBUTES}
        if record.exc_info and record.exc_info[0] is not None:
            entry["error"] = record.exc_info[0].__name__
            entry["trace"] = _places(record.exc_info[2])
        return _ENCODER.encode(entry)


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
