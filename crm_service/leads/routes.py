"""HTTP of leads. Agents see those assigned to them; that is decided by the database."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status

from crm_service.access import Reader
from crm_service.dependencies import (
    IfMatch,
    PageDep,
    ReaderDep,
    SearchText,
    Since,
    Until,
    WriterDep,
    answer,
    answer_changed,
    answer_created,
    paging,
    say_replayed,
)
from crm_service.editing import change_row
from crm_service.errors import ForbiddenError, UnknownReferenceError
from crm_service.fields import VersionedBody
from crm_service.filters import Filter, between, equals, one_of, search
from crm_service.leads.schemas import (
    LeadCreate,
    LeadNoteCreate,
    LeadNoteRead,
    LeadNoteUpdate,
    LeadRead,
    LeadStatus,
    LeadUpdate,
    NoteKind,
)
from crm_service.pagination import Page, PageRequest
from crm_service.problems import describe
from crm_service.tables import Table, require_customer
from crm_service.versions import expected_version

router = APIRouter(tags=["leads"])
_leads = Table("leads", LeadRead, noun="lead", key="customer_id", soft_deleted=False)
_notes = Table("lead_notes", LeadNoteRead, noun="note", soft_deleted=False)
_LEAD = "/customers/{customer_id}/lead"
_REFUSALS = describe(404, 409, 412)
_PageDep = Annotated[
    PageRequest,
    Depends(paging("score", "updated_at", "next_follow_up_at", "estimated_value_cents")),
]


@router.get("/leads", response_model=Page[LeadRead])
async def list_leads(
    reader: ReaderDep,
    page: _PageDep,
    text: SearchText = None,
    status: Annotated[list[LeadStatus] | None, Query(description="One or more.")] = None,
    assigned_to: UUID | Literal["me", "nobody"] | None = None,
    min_score: Annotated[int | None, Query(ge=0, le=100)] = None,
    follow_up_from: Since = None,
    follow_up_before: Until = None,
) -> Response:
    """List the leads the caller may see; the search looks at the customer's name, e-mail, phone."""
    filters = [
        *_of_customers_found(text),
        *one_of("status", status),
        *_assigned_to(reader, assigned_to),
        *between("score", min_score, None),
        *between("next_follow_up_at", follow_up_from, follow_up_before),
    ]
    return await _leads.page(reader, filters, page)


@router.get(_LEAD, response_model=LeadRead, responses=describe(404))
async def get_lead(reader: ReaderDep, customer_id: UUID) -> Response:
    """Get the lead of a customer."""
    return await _leads.answer(reader, customer_id)


@router.post(_LEAD, status_code=status.HTTP_201_CREATED, responses=describe(404, 409))
async def create_lead(
    writer: WriterDep, response: Response, customer_id: UUID, body: LeadCreate
) -> LeadRead:
    """Make a customer a lead; there is one lead per customer."""
    columns = body.columns(writer.caller.subject.user_id)
    try:
        created = await _leads.create(writer, customer_id, columns)
    except UnknownReferenceError:
        await require_customer(writer, customer_id)
        raise
    collection = "/v1/customers"
    response = _located(response, f"{collection}/{customer_id}/lead", replayed=created.replayed)
    return answer(response, created.record)


@router.patch(_LEAD, responses=describe(404, 409, 412, 428))
async def update_lead(
    writer: WriterDep,
    response: Response,
    customer_id: UUID,
    body: LeadUpdate,
    if_match: IfMatch = None,
) -> LeadRead:
    """Change some fields of a lead."""
    expected = expected_version(if_match, body.version, required=True)
    changed = await change_row(_leads, writer, customer_id, body.changes(), expected)
    return answer_changed(response, changed)


@router.post(_LEAD + "/convert", responses=_REFUSALS)
async def convert_lead(
    writer: WriterDep,
    response: Response,
    customer_id: UUID,
    body: VersionedBody | None = None,
    if_match: IfMatch = None,
) -> LeadRead:
    """Record that a lead was won."""
    expected = expected_version(if_match, body.version if body else None, required=False)
    won = {"status": "won", "conversion_probability": 1.0}
    changed = await change_row(_leads, writer, customer_id, won, expected, merge=False)
    return answer_changed(response, changed)


@router.get(_LEAD + "/notes", response_model=Page[LeadNoteRead], responses=describe(404))
async def list_lead_notes(
    reader: ReaderDep,
    page: PageDep,
    customer_id: UUID,
    text: SearchText = None,
    kind: Annotated[NoteKind | None, Query()] = None,
) -> Response:
    """List the notes on a lead, newest first; the search looks at what was written."""
    filters = [*equals("customer_id", customer_id), *equals("kind", kind), *search(("body",), text)]
    found = await _notes.page(reader, filters, page)
    if found.is_empty:
        # No notes is not the same as no such lead, or one of somebody else.
        await _leads.get(reader, customer_id)
    return found


@router.post(_LEAD + "/notes", status_code=status.HTTP_201_CREATED, responses=describe(404, 409))
async def create_lead_note(
    writer: WriterDep, response: Response, customer_id: UUID, body: LeadNoteCreate
) -> LeadNoteRead:
    """Write a note on a lead."""
    columns = {**body.columns(), "customer_id": customer_id}
    try:
        created = await _notes.create(writer, body.id, columns)
    except (ForbiddenError, UnknownReferenceError):
        # To an agent no lead and somebody else's are the same.
        await _leads.get(writer, customer_id)
        raise
    return answer_created(response, created, f"/v1/customers/{customer_id}/lead/notes")


@router.get(_LEAD + "/notes/{note_id}", response_model=LeadNoteRead, responses=describe(404))
async def get_lead_note(reader: ReaderDep, customer_id: UUID, note_id: UUID) -> Response:
    """Get a note of this customer's lead."""
    return await _notes.answer(reader, note_id, equals("customer_id", customer_id))


@router.patch(_LEAD + "/notes/{note_id}", responses=describe(404, 409, 412, 428))
async def update_lead_note(
    writer: WriterDep,
    response: Response,
    customer_id: UUID,
    note_id: UUID,
    body: LeadNoteUpdate,
    if_match: IfMatch = None,
) -> LeadNoteRead:
    """Change a note; agents their own."""
    expected = expected_version(if_match, body.version, required=True)
    await _notes.answer(writer, note_id, equals("customer_id", customer_id))
    changed = await change_row(_notes, writer, note_id, body.changes(), expected)
    return answer_changed(response, changed)


def _assigned_to(reader: Reader, who: UUID | str | None) -> list[Filter]:
    if who == "nobody":
        return [("assigned_to", "is.null")]
    return equals("assigned_to", reader.caller.subject.user_id if who == "me" else who)


def _of_customers_found(text: str | None) -> list[Filter]:
    """Keep leads whose customer is found; nothing of the customer is shown."""
    found = search(("name", "email", "phone"), text, of="customer")
    if not found:
        return []
    columns = ",".join(LeadRead.model_fields)
    return [("select", f"{columns},customer:customers!inner()"), *found]


def _located(response: Response, location: str, *, replayed: bool) -> Response:
    response.headers["Location"] = location
    if replayed:
        say_replayed(response)
    return response
