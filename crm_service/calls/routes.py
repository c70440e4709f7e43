"""HTTP of calls. Agents log and edit their own; that is decided by the database."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status

from crm_service.calls.schemas import CallCreate, CallRead, CallUpdate, Direction, Outcome
from crm_service.dependencies import (
    IfMatch,
    ReaderDep,
    SearchText,
    Since,
    Until,
    WriterDep,
    answer_changed,
    answer_created,
    paging,
)
from crm_service.editing import change_row
from crm_service.filters import between, equals, one_of, search
from crm_service.pagination import Page, PageRequest
from crm_service.problems import describe
from crm_service.tables import Table
from crm_service.versions import expected_version

router = APIRouter(prefix="/calls", tags=["calls"])
_calls = Table("calls", CallRead, noun="call", soft_deleted=False)
_PageDep = Annotated[PageRequest, Depends(paging("started_at", "updated_at"))]


@router.get("", response_model=Page[CallRead])
async def list_calls(
    reader: ReaderDep,
    page: _PageDep,
    text: SearchText = None,
    customer_id: UUID | None = None,
    staff_id: UUID | Literal["me"] | None = None,
    direction: Annotated[Direction | None, Query()] = None,
    outcome: Annotated[list[Outcome] | None, Query(description="One or more.")] = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """List calls; the search looks at notes and next action."""
    filters = [
        *search(("notes", "next_action"), text),
        *equals("customer_id", customer_id),
        *equals("staff_id", reader.caller.subject.user_id if staff_id == "me" else staff_id),
        *equals("direction", direction),
        *one_of("outcome", outcome),
        *between("started_at", since, until),
    ]
    return await _calls.page(reader, filters, page)


@router.post("", status_code=status.HTTP_201_CREATED, responses=describe(409))
async def create_call(writer: WriterDep, response: Response, body: CallCreate) -> CallRead:
    """Log a call; it is the caller's own unless a manager names somebody."""
    columns = {"staff_id": writer.caller.subject.user_id, **body.columns()}
    created = await _calls.create(writer, body.id, columns)
    return answer_created(response, created, "/v1/calls")


@router.get("/{call_id}", response_model=CallRead, responses=describe(404))
async def get_call(reader: ReaderDep, call_id: UUID) -> Response:
    """Get a call."""
    return await _calls.answer(reader, call_id)


@router.patch("/{call_id}", responses=describe(404, 409, 412, 428))
async def update_call(
    writer: WriterDep,
    response: Response,
    call_id: UUID,
    body: CallUpdate,
    if_match: IfMatch = None,
) -> CallRead:
    """Change some fields of a call, such as its end and outcome."""
    expected = expected_version(if_match, body.version, required=True)
    changed = await change_row(_calls, writer, call_id, body.changes(), expected)
    return answer_changed(response, changed)
