"""What routes may ask for, as ``Annotated`` aliases; FastAPI's wiring lives here and in ``app``."""

import contextlib
import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Query, Request, Response, Security
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from crm_service.access import Reader, StaffCheck, Writer
from crm_service.auth import TokenVerifier
from crm_service.cipher import KeyRing
from crm_service.database import Caller, Database
from crm_service.editing import Changed
from crm_service.events.realtime import Realtime
from crm_service.fields import Instant
from crm_service.pagination import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    NEWEST_FIRST,
    PageRequest,
    parse_cursor,
)
from crm_service.signing_keys import SigningKeys
from crm_service.tables import Created, RecordT
from crm_service.versions import ETAG_PATTERN, render_etag


class _DocumentedBearer(HTTPBearer):
    """Say in the documentation how callers identify themselves; ``Admission`` looks at it."""

    only_documents = True
    """For whoever calls it: it reads nothing and gives None."""

    async def __call__(self, request: HTTPConnection) -> None:
        """Read nothing."""


_bearer = _DocumentedBearer(
    auto_error=False,
    scheme_name="accessToken",
    bearerFormat="JWT",
    description="Access token of a signed-in staff member.",
)


@dataclass(frozen=True, slots=True)
class Services:
    """What lives as long as the application; built and closed by its lifespan."""

    database: Database
    signing_keys: SigningKeys
    verifier: TokenVerifier
    staff: StaffCheck
    realtime: Realtime
    event_poll_s: float
    keys: KeyRing


# All dependencies are coroutines: FastAPI runs plain functions in threads, which costs more.
async def get_services(request: Request) -> Services:
    """Return the application's services."""
    return _services_of(request)


def _services_of(request: Request) -> Services:
    services = request.scope["app"].services
    assert isinstance(services, Services)  # noqa: S101 - set by the lifespan, before any request
    return services


ServicesDep = Annotated[Services, Depends(get_services)]


_KeyHeader = Annotated[
    str | None,
    Header(
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="Any text of the client, new for each new request; recorded in the audit. "
        "A repeated request with the same key has one effect and the same answer; another "
        "request with it is refused.",
    ),
]


async def get_caller(
    request: Request,
    _documented: Annotated[object, Security(_bearer)],
    idempotency_key: _KeyHeader = None,
) -> Caller:
    """Return who calls, as ``Admission`` found out."""
    state = request.scope["state"]
    fingerprint = None
    if idempotency_key is not None and request.method not in {"GET", "HEAD"}:
        fingerprint = await request_fingerprint(request)
    return Caller(state["subject"], state["request_id"], idempotency_key, fingerprint)


async def request_fingerprint(request: Request) -> str:
    """Digest what makes two requests the same: method, path, query, If-Match and JSON body."""
    body = await request.body()
    # The order of members and white space do not make another request.
    with contextlib.suppress(ValueError, RecursionError):
        body = json.dumps(json.loads(body), sort_keys=True).encode()
    url = request.url
    head = [request.method, url.path, url.query, request.headers.get("if-match", "")]
    return hashlib.sha256("\n".join(head).encode() + b"\n" + body).hexdigest()


CallerDep = Annotated[Caller, Depends(get_caller)]


async def get_reader(request: Request, caller: CallerDep) -> Reader:
    """Return read access; the staff check runs with each read."""
    services = _services_of(request)
    return Reader(services.database, services.staff, caller)


async def get_writer(request: Request, caller: CallerDep) -> Writer:
    """Return write access, after the staff check."""
    services = _services_of(request)
    return await Writer.admit(services.database, services.staff, caller)


ReaderDep = Annotated[Reader, Depends(get_reader)]
WriterDep = Annotated[Writer, Depends(get_writer)]


def paging(*sorts: str) -> Callable[..., Awaitable[PageRequest]]:
    """Return a dependency that reads the paging parameters of one list.

    Args:
        sorts: Columns a list may be sorted by, besides ``created_at``.
    """
    names = [name for column in ("created_at", *sorts) for name in (column, f"-{column}")]

    async def get_page_request(
        limit: Annotated[
            int, Query(ge=1, le=MAX_LIMIT, description="Rows per page.")
        ] = DEFAULT_LIMIT,
        cursor: Annotated[
            str | None, Query(max_length=2000, description="`next_cursor` of the page before.")
        ] = None,
        sort: Annotated[
            str,
            Query(
                pattern=f"^({'|'.join(names)})$",
                description="Column; a leading `-` for descending.",
                json_schema_extra={"enum": names},
            ),
        ] = NEWEST_FIRST,
    ) -> PageRequest:
        return PageRequest(limit, parse_cursor(cursor, sort) if cursor is not None else None, sort)

    return get_page_request


PageDep = Annotated[PageRequest, Depends(paging())]

SearchText = Annotated[
    str | None,
    Query(
        alias="q",
        max_length=100,
        pattern=r"^[^\x00]*$",
        description="Words that must all occur, in any case.",
    ),
]
Since = Annotated[Instant | None, Query(description="From this instant on.")]
Until = Annotated[Instant | None, Query(description="Up to this instant, not included.")]
Deleted = Annotated[bool, Query(description="List the deleted rows instead of the others.")]

IfMatch = Annotated[
    str | None,
    Header(
        description='The ETag the change is based on, such as `"3"`; `*` for any version.',
        json_schema_extra={"pattern": ETAG_PATTERN, "examples": ['"3"']},
    ),
]


def answer(response: Response, record: RecordT) -> RecordT:
    """Return a row with its ETag."""
    # Appended, because setting one looks for others of this name first.
    response.raw_headers.append((b"etag", render_etag(record.version).encode()))
    return record


def say_replayed(response: Response) -> None:
    """Say that the answer is to a copy of a request that took effect before."""
    response.headers["Idempotency-Replayed"] = "true"


def answer_changed(response: Response, changed: Changed[RecordT]) -> RecordT:
    """Return a changed row with its ETag; say what was merged, and if it is a replay."""
    if changed.merged:
        response.headers["X-Merged-Fields"] = ", ".join(changed.merged)
    if changed.replayed:
        say_replayed(response)
    return answer(response, changed.record)


def answer_created(
    response: Response, created: Created[RecordT], collection: str, key: str = "id"
) -> RecordT:
    """Return a created row with ETag and Location, and say so if it is a replay."""
    location = f"{collection}/{getattr(created.record, key)}"
    response.raw_headers.append((b"location", location.encode("latin-1")))
    if created.replayed:
        say_replayed(response)
    return answer(response, created.record)


__all__ = [
    "CallerDep",
    "Deleted",
    "IfMatch",
    "PageDep",
    "ReaderDep",
    "SearchText",
    "Services",
    "ServicesDep",
    "Since",
    "Until",
    "WriterDep",
    "answer",
    "answer_changed",
    "answer_created",
    "paging",
    "say_replayed",
]
