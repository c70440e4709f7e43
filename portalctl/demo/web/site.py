"""The page's HTTP side: three files, one stream of events, one address for the buttons."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final
from uuid import UUID

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from crm_service.errors import ClientError
from portalctl.demo.web.board import Board
from portalctl.demo.web.desk import Desk
from portalctl.exits import CommandError

_FILES: Final = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src data:; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}


def create_site(
    board: Board, desk: Desk, customers: dict[str, UUID], plug: Callable[[bool], None]
) -> Starlette:
    """Build the page's application.

    It is for this machine alone: other host names are refused, and so is what another site's page
    could send, because the buttons take JSON only.

    Args:
        board: What is shown.
        desk: What staff can do.
        customers: Ids of the customers by the name that the page shows.
        plug: Takes the customers' network away (False) or gives it back (True).
    """

    async def events(_request: Request) -> Response:
        return StreamingResponse(_lines(board), media_type="text/event-stream", headers=_HEADERS)

    async def act(request: Request) -> Response:
        body = await _json_of(request)
        customer_id = customers.get(str(body.get("portal")))
        action = desk.actions.get(str(body.get("action")))
        if customer_id is None or action is None:
            return _refused(HTTPStatus.BAD_REQUEST, "There is no such button.")
        try:
            await action(customer_id)
        except (ClientError, CommandError) as error:
            return _refused(HTTPStatus.BAD_GATEWAY, str(error))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def network(request: Request) -> Response:
        is_up = (await _json_of(request)).get("up")
        if not isinstance(is_up, bool):
            return _refused(HTTPStatus.BAD_REQUEST, "up is true or false.")
        plug(is_up)
        board.tell_all()
        return Response(status_code=HTTPStatus.NO_CONTENT)

    return Starlette(
        routes=[
            *(Route(path, _serve(name, kind)) for path, (name, kind) in _FILES.items()),
            Route("/events", events),
            Route("/act", act, methods=["POST"]),
            Route("/network", network, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])],
    )


def _serve(name: str, kind: str) -> Callable[[Request], Response]:
    content = (files("portalctl.demo.web") / name).read_bytes()

    def respond(_request: Request) -> Response:
        return Response(content, media_type=kind, headers=_HEADERS)

    return respond


async def _lines(board: Board) -> AsyncIterator[str]:
    async for event in board.events():
        yield f"data: {json.dumps(event)}\n\n"


async def _json_of(request: Request) -> dict[str, Any]:
    """Return the JSON object of a request; an empty one for anything else."""
    if request.headers.get("content-type") != "application/json":
        return {}
    try:
        body = await request.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refused(status: HTTPStatus, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status)
