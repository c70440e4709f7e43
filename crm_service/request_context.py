"""The outermost layer: each request gets an id, each answer its headers, and both are told of."""

import asyncio
import logging
import random
import re
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crm_service.errors import ServiceError, StoppingError
from crm_service.fast_path import ROUTE_KEY
from crm_service.headers import header
from crm_service.limits import BodyLimit
from crm_service.metrics import Metrics
from crm_service.observability import RequestRecord, current_request_id
from crm_service.problems import PROBLEM_HEADER, internal_problem, render_problem
from crm_service.protection import SecurityHeaders

logger = logging.getLogger(__name__)

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID_NAME = REQUEST_ID_HEADER.lower().encode()
_PROBLEM_NAME = PROBLEM_HEADER.lower().encode()
_ACCEPTABLE_ID = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")


class RequestContext:
    """Pure ASGI middleware: give each request an id, log it once, turn bugs into problems.

    A caller's ``X-Request-Id`` is kept if it is short and plain; the answer always has one.

    Args:
        app: Who answers.
        metrics: Where requests are counted.
        bodies: Limits of the requests' bodies.
        protection: Headers of every answer.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, bodies: BodyLimit, protection: SecurityHeaders
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._bodies = bodies
        self._protection = protection

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; only HTTP requests get an id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = choose_request_id(header(scope, _REQUEST_ID_NAME))
        scope.setdefault("state", {})["request_id"] = request_id
        reset = current_request_id.set(request_id)
        exchange = _Exchange(scope["path"], send, request_id, self._protection)
        started = time.perf_counter()
        self._metrics.request_started()
        try:
            await self._app(scope, self._bodies.limit(scope, receive), exchange.send)
        except asyncio.CancelledError:
            # Only the server's end cancels a request.
            if exchange.status is not None:
                raise
            await render_problem(StoppingError(), request_id)(scope, receive, exchange.send)
        except Exception as error:
            if isinstance(error.__cause__, ServiceError):
                # Of an answer that had begun, such as an export: it cannot become a problem now.
                logger.warning("answer broken off", extra={"code": error.__cause__.code})
            else:
                logger.exception("request failed with a bug")
            if exchange.status is None:
                await internal_problem(request_id)(scope, receive, exchange.send)
            elif not exchange.is_complete:
                raise
        finally:
            duration_s = time.perf_counter() - started
            # Later: what was sent leaves the process when this turn of the event loop ends.
            asyncio.get_running_loop().call_soon(self._note, scope, exchange, duration_s)
            current_request_id.reset(reset)

    def _note(self, scope: Scope, exchange: "_Exchange", duration_s: float) -> None:
        """Count and log a request that was answered."""
        method, route = scope["method"], route_template(scope)
        self._metrics.request_ended(method, route, exchange.status, duration_s)
        exchange.count(self._metrics)
        if logger.isEnabledFor(logging.INFO):
            # Not `log`: to find out where it is called from costs more than the line.
            logger.handle(
                RequestRecord(
                    logger.name,
                    exchange.request_id,
                    method=method,
                    route=route,
                    status=exchange.status,
                    duration_ms=round(duration_s * 1000, 2),
                )
            )


class _Exchange:
    """Watch an answer go by: note what it says, add the headers that every answer has."""

    def __init__(self, path: str, send: Send, request_id: str, protection: SecurityHeaders) -> None:
        self.request_id = request_id
        self.status: int | None = None
        self.is_complete = False
        self._path = path
        self._send = send
        self._protection = protection
        self._replayed = False
        self._merged = False
        self._problem: bytes | None = None

    def count(self, metrics: Metrics) -> None:
        """Count what the answer says about itself."""
        if self._replayed:
            metrics.replayed()
        if self._merged:
            metrics.merged()
        if self._problem is not None:
            metrics.problem(self._problem.decode("latin-1"))

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"]
            given = dict(headers)
            self._replayed = b"idempotency-replayed" in given
            self._merged = b"x-merged-fields" in given
            self._problem = given.get(_PROBLEM_NAME)
            headers += self._protection.headers(self._path, given)
            headers.append((_REQUEST_ID_NAME, self.request_id.encode("latin-1")))
        elif message["type"] == "http.response.body":
            self.is_complete = not message.get("more_body", False)
        await self._send(message)


def choose_request_id(offered: str | None) -> str:
    """Return the caller's id if it is short and plain, else a new one."""
    if offered is not None and _ACCEPTABLE_ID.match(offered):
        return offered
    # Nobody's guess at it would do harm, and the system's randomness costs ten times as much.
    return f"{random.getrandbits(128):032x}"


def route_template(scope: Scope) -> str:
    """Return the path with names instead of values, since paths hold ids of customers."""
    if ROUTE_KEY in scope:
        return str(scope[ROUTE_KEY])
    if "route" not in scope:
        return "unmatched"
    names = {str(value): name for name, value in scope.get("path_params", {}).items()}
    segments = str(scope["path"]).split("/")
    return "/".join(f"{{{names[part]}}}" if part in names else part for part in segments)


__all__ = ["REQUEST_ID_HEADER", "RequestContext", "choose_request_id"]
