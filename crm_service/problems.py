"""Problem details (RFC 9457) for every refusal and failure, and their place in OpenAPI."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from crm_service.errors import (
    TYPE_PREFIX,
    InternalError,
    InvalidRequestError,
    ServiceError,
    UpstreamError,
)
from crm_service.versions import FieldConflict

logger = logging.getLogger(__name__)

PROBLEM_HEADER = "X-Problem"
MEDIA_TYPE = "application/problem+json"
# Refusals of the framework itself: status → code, title, what to do.
_FRAMEWORK_PROBLEMS = {
    400: ("bad-request", "Bad request", "The request could not be read. Send JSON in UTF-8."),
    404: ("no-such-path", "No such path", "There is nothing at this path. See /docs."),
    405: ("no-such-method", "No such method", "Use a method that the Allow header names."),
    408: ("body-too-slow", "Body too slow", "Send the whole body without long pauses."),
    413: ("body-too-large", "Body too large", "Send less at once."),
    415: ("unsupported-media-type", "Unsupported media type", "Send the body as JSON."),
    431: ("head-too-large", "Head too large", "Send a shorter address and shorter headers."),
}
# What a pattern means, for a person.
_PATTERNS = {
    r"\S": "must not be blank",
    r"^[^\x00]*$": "must not contain the NUL character",
    r"^[^\x00]*[^\x00\s][^\x00]*$": "must not be blank, nor contain the NUL character",
    r"^[A-Z]{3}$": "must be the three capital letters of a currency, such as EUR",
    r"^[\x21-\x7e]{1,200}$": "must be 1 to 200 printable ASCII characters, without spaces",
    r"^[\x21-\x7e]+$": "must be printable ASCII characters, without spaces",
    r"^[A-Z0-9-]{1,16}$": "must be 1 to 16 capital letters, digits or hyphens",
}
_CHOICE = re.compile(r"\^\(([\w|-]+)\)\$")
# Behind these, a location has the value's name; what follows are places in it, or kinds of values.
_NAMED_PLACES = frozenset({"query", "path", "header"})
# For the documentation: a usual problem of each status.
_EXAMPLES = {
    **_FRAMEWORK_PROBLEMS,
    401: ("token-expired", "Token expired", "Refresh the session and send the new token."),
    403: ("forbidden", "Not allowed", "The database refused this for your role."),
    404: ("not-found", "Not found", "There is no customer with this id."),
    409: ("already-exists", "Already exists", "The id belongs to a customer with other content."),
    412: (
        "stale-version",
        "Version is stale",
        "The row is at version 4, the change is based on 3. Both changed: phone.",
    ),
    422: ("invalid-request", "Invalid request", "Correct these and send it again: body.name."),
    428: ("version-required", "Version required", "Say which version the change is based on."),
    429: ("rate-limited", "Too many requests", "Wait for as long as Retry-After says."),
    500: (
        "secret-unreadable",
        "A stored value does not open",
        "The stored value is damaged, or was copied here from another place.",
    ),
    501: ("encryption-unavailable", "No key for sensitive fields", "Set CRM_FIELD_KEYS."),
    503: ("database-unavailable", "Database unavailable", "Nothing was written; try again."),
    504: ("statement-timeout", "The database gave up on the statement", "Ask for less."),
}
# And what it says besides, where that is the point of it.
_EXTRAS: dict[int, dict[str, Any]] = {
    412: {
        "current": {
            "id": "c0000000-0000-4000-8000-000000000001",
            "version": 4,
            "phone": "+44 20 7946 0001",
        },
        "conflicts": [
            {
                "field": "phone",
                "yours": "+44 20 7946 0002",
                "theirs": "+44 20 7946 0001",
                "base": "+44 20 7946 0000",
                "changed_by": "a0000000-0000-4000-8000-000000000003",
                "changed_at": "2026-12-01T11:15:00.25+00:00",
            }
        ],
    },
    422: {"errors": [{"field": "body.name", "message": "Field required"}]},
}


class FieldProblem(BaseModel):
    """One wrong field; its value is never repeated."""

    field: str = Field(examples=["body.name"])
    message: str = Field(examples=["Field required"])


class Problem(BaseModel):
    """What went wrong and what to do about it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Stable; compare this.", examples=[f"{TYPE_PREFIX}stale-version"])
    title: str = Field(examples=["Version is stale"])
    status: int = Field(examples=[409])
    detail: str = Field(description="For a person; may change.")
    request_id: str = Field(description="Quote it when asking for help.")
    errors: list[FieldProblem] | None = Field(default=None, description="Only with status 422.")
    current: dict[str, Any] | None = Field(
        default=None, description="The row as it is; only when a version is stale."
    )
    conflicts: list[FieldConflict] | None = Field(
        default=None, description="Fields that both sides changed; only when a version is stale."
    )
    results: list[dict[str, Any]] | None = Field(
        default=None,
        description="What is wrong with which row; only of a bulk write of all or none.",
    )


class ProblemResponse(JSONResponse):
    """A response in the problem media type."""

    media_type: ClassVar[str] = MEDIA_TYPE  # type: ignore[misc]


def describe(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses=`` entries for these statuses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema, "example": _example(status)}},
        }
        for status in statuses
    }


def _example(status: int) -> dict[str, Any]:
    """Return a problem of this status as it may look."""
    code, title, detail = _EXAMPLES[status]
    return {
        "type": f"{TYPE_PREFIX}{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": "6f1c2b1e-0d3f-4b7e-9a55-0c8f2f6c7d11",
        **_EXTRAS.get(status, {}),
    }


def render_problem(error: ServiceError, request_id: str) -> ProblemResponse:
    """Render an error as the response it stands for."""
    return _render(
        error.status,
        error.code,
        error.title,
        error.detail,
        request_id,
        extra=error.extra,
        headers=error.headers,
    )


def install_problem_handlers(app: FastAPI) -> None:
    """Make every error of the application a problem, bugs included."""
    app.add_exception_handler(Exception, _on_bug)
    app.add_exception_handler(ServiceError, on_service_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, on_http_exception)


def internal_problem(request_id: str) -> ProblemResponse:
    """Return the answer to a request that met a bug."""
    error = InternalError(
        f"The service failed. Nothing can be said about the effect; report request {request_id}."
    )
    return render_problem(error, request_id)


async def _on_bug(request: Request, _error: Exception) -> ProblemResponse:
    """Answer a request that met a bug; it is raised again, and logged where it arrives."""
    return internal_problem(request.state.request_id)


def on_service_error(request: Request, error: Exception) -> ProblemResponse:
    """Answer a request that was refused or failed."""
    assert isinstance(error, ServiceError)  # noqa: S101 - registered for this class only
    if isinstance(error, UpstreamError):
        logger.warning("database call failed", extra={"code": error.code})
    return render_problem(error, request.state.request_id)


def _on_validation_error(request: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    problems = field_problems(error.errors())
    named = ", ".join(problem["field"] for problem in problems)
    refusal = InvalidRequestError(f"Correct these and send the request again: {named}.", problems)
    return render_problem(refusal, request.state.request_id)


def on_http_exception(request: Request, error: Exception) -> ProblemResponse:
    """Answer a request that the framework refused."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    return framework_problem(error.status_code, request.state.request_id, error.headers or {})


def framework_problem(
    status: int, request_id: str, headers: Mapping[str, str] | None = None
) -> ProblemResponse:
    """Return the answer to a request that is refused before any operation sees it."""
    phrase = HTTPStatus(status).phrase
    code, title, detail = _FRAMEWORK_PROBLEMS.get(status, (f"http-{status}", phrase, phrase))
    return _render(status, code, title, detail, request_id, headers=headers or {})


def field_problems(entries: Iterable[Mapping[str, Any]], prefix: str = "") -> list[dict[str, str]]:
    """Describe validation errors, one for each field, without repeating a value.

    Args:
        entries: As pydantic reports them: of a value that may be of several kinds, one of each.
        prefix: Name of what was validated, if the locations do not begin with it.
    """
    messages: dict[str, list[str]] = {}
    for entry in entries:
        problem = _field_problem(entry, prefix)
        messages.setdefault(problem["field"], []).append(problem["message"])
    return [{"field": field, "message": ", or ".join(said)} for field, said in messages.items()]


def _field_problem(entry: Mapping[str, Any], prefix: str) -> dict[str, str]:
    location: Sequence[Any] = entry.get("loc", ())
    if entry.get("type") == "json_invalid":
        return {"field": prefix or "body", "message": "is not valid JSON"}
    if not prefix and location and location[0] in _NAMED_PLACES:
        location = [*location[:2], *(part for part in location[2:] if isinstance(part, int))]
    parts = [prefix, *map(str, location)] if prefix else [str(part) for part in location]
    return {"field": ".".join(parts) or "body", "message": _message(entry)}


def _message(entry: Mapping[str, Any]) -> str:
    """Say what is wrong in words."""
    pattern = str(entry.get("ctx", {}).get("pattern", ""))
    if choice := _CHOICE.fullmatch(pattern):
        return f"must be one of {', '.join(choice[1].split('|'))}"
    said = _PATTERNS.get(pattern) or str(entry.get("msg", "is invalid"))
    return said.removeprefix("Value error, ")


def _render(
    status: int,
    code: str,
    title: str,
    detail: str,
    request_id: str,
    *,
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> ProblemResponse:
    document = {
        "type": f"{TYPE_PREFIX}{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
        **(extra or {}),
    }
    # The code stands in a header, too: metrics and proxies need not read bodies.
    all_headers = {**(headers or {}), PROBLEM_HEADER: code}
    return ProblemResponse(document, status_code=status, headers=all_headers)
