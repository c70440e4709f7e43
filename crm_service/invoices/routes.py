"""HTTP of invoices. Who may take which step, and when, is decided by the database."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status
from pydantic_core import to_jsonable_python

from crm_service.access import Writer
from crm_service.dependencies import (
    Deleted,
    IfMatch,
    ReaderDep,
    SearchText,
    WriterDep,
    answer,
    answer_changed,
    answer_created,
    paging,
    say_replayed,
)
from crm_service.editing import Changed, change_row, delete_row, move_row
from crm_service.errors import NotFoundError, ReplayedError, StaleVersionError
from crm_service.fields import Day, MoveToCustomer
from crm_service.filters import between, equals, one_of, search
from crm_service.invoices.schemas import (
    InvoiceCreate,
    InvoiceItems,
    InvoiceItemsReplace,
    InvoiceRead,
    InvoiceStatus,
    InvoiceStep,
    InvoiceUpdate,
    OverdueResult,
    OverdueRun,
    has_items,
)
from crm_service.pagination import Page, PageRequest
from crm_service.problems import describe
from crm_service.tables import Table
from crm_service.versions import expected_version, render_etag

router = APIRouter(prefix="/invoices", tags=["invoices"])
_invoices = Table("invoices", InvoiceRead, noun="invoice")
_REFUSALS = describe(404, 409, 412)


_PageDep = Annotated[PageRequest, Depends(paging("due_on", "total_cents", "updated_at"))]


@router.get("", response_model=Page[InvoiceRead])
async def list_invoices(
    reader: ReaderDep,
    page: _PageDep,
    text: SearchText = None,
    customer_id: UUID | None = None,
    status: Annotated[list[InvoiceStatus] | None, Query(description="One or more.")] = None,
    due_from: Day | None = None,
    due_before: Day | None = None,
    *,
    deleted: Deleted = False,
) -> Response:
    """List invoices; the search looks at the notes, a number finds that invoice."""
    filters = [
        *_search(text),
        *equals("customer_id", customer_id),
        *one_of("status", status),
        *between("due_on", due_from, due_before),
    ]
    return await _invoices.page(reader, filters, page, deleted=deleted)


def _search(text: str | None) -> list[tuple[str, str]]:
    if text is not None and text.isascii() and text.isdecimal() and len(text) <= 18:
        return equals("number", int(text))
    return search(("notes",), text)


@router.post("", status_code=status.HTTP_201_CREATED, responses=describe(409))
async def create_invoice(writer: WriterDep, response: Response, body: InvoiceCreate) -> InvoiceRead:
    """Create a draft with its items, all or nothing."""
    columns = body.columns()
    items = to_jsonable_python(body.item_rows())

    async def perform(invoice_id: UUID) -> dict[str, Any]:
        invoice = to_jsonable_python({**columns, "id": invoice_id})
        return await writer.call_for_row("create_invoice", {"invoice": invoice, "items": items})

    async def same_items(stored: InvoiceRead) -> bool:
        query = {
            "select": "id,description,quantity,unit_price_cents",
            "invoice_id": f"eq.{stored.id}",
            "order": "position",
        }
        return has_items(await writer.select("invoice_items", query), body)

    created = await _invoices.create(
        writer, body.id, columns, perform=perform, same_extra=same_items
    )
    return answer_created(response, created, "/v1/invoices")


@router.get("/{invoice_id}", responses=describe(404))
async def get_invoice(reader: ReaderDep, response: Response, invoice_id: UUID) -> InvoiceRead:
    """Get an invoice with its lines."""
    return answer(response, await _invoices.get(reader, invoice_id))


@router.patch("/{invoice_id}", responses=describe(404, 409, 412, 428))
async def update_invoice(
    writer: WriterDep,
    response: Response,
    invoice_id: UUID,
    body: InvoiceUpdate,
    if_match: IfMatch = None,
) -> InvoiceRead:
    """Change some fields of an invoice."""
    expected = expected_version(if_match, body.version, required=True)
    changed = await change_row(_invoices, writer, invoice_id, body.changes(), expected)
    return answer_changed(response, changed)


@router.delete("/{invoice_id}", responses=_REFUSALS)
async def delete_invoice(
    writer: WriterDep, response: Response, invoice_id: UUID, if_match: IfMatch = None
) -> InvoiceRead:
    """Delete a draft; a sent invoice is voided instead."""
    expected = expected_version(if_match, None, required=False)
    return answer_changed(response, await delete_row(_invoices, writer, invoice_id, expected))


@router.get("/{invoice_id}/items", responses=describe(404))
async def list_invoice_items(
    reader: ReaderDep, response: Response, invoice_id: UUID
) -> InvoiceItems:
    """List the items of an invoice, in their order; the ETag is the invoice's."""
    query = {"select": "version,items:invoice_items(*)", "id": f"eq.{invoice_id}"}
    rows = await reader.select(_invoices.name, query | {"items.order": "position"})
    if not rows:
        raise NotFoundError("There is no invoice with this id.")
    response.headers["ETag"] = render_etag(rows[0]["version"])
    return InvoiceItems.model_validate(rows[0])


@router.put("/{invoice_id}/items", responses=_REFUSALS)
async def replace_invoice_items(
    writer: WriterDep,
    response: Response,
    invoice_id: UUID,
    body: InvoiceItemsReplace,
    if_match: IfMatch = None,
) -> InvoiceRead:
    """Give a draft new items, all at once."""
    expected = expected_version(if_match, None, required=False)
    items = to_jsonable_python([item.model_dump(exclude_none=True) for item in body.items])
    arguments: dict[str, Any] = {"invoice_id": str(invoice_id), "items": items}
    if expected.version is not None:
        arguments["expected_version"] = expected.version
    try:
        row = await writer.call_for_row("replace_invoice_items", arguments)
    except ReplayedError:
        say_replayed(response)
        return answer(response, await _invoices.get(writer, invoice_id))
    except StaleVersionError:
        current = await _invoices.get(writer, invoice_id)
        raise expected.stale(current.model_dump(mode="json")) from None
    return answer(response, _invoices.parse(row))


@router.post("/{invoice_id}/move", responses=_REFUSALS)
async def move_invoice(
    writer: WriterDep,
    response: Response,
    invoice_id: UUID,
    body: MoveToCustomer,
    if_match: IfMatch = None,
) -> InvoiceRead:
    """Move an invoice to another customer; its job is taken off."""
    expected = expected_version(if_match, None, required=False)
    moved = await move_row(_invoices, writer, invoice_id, body.customer_id, expected)
    return answer_changed(response, moved)


@router.post("/{invoice_id}/mark-overdue", responses=_REFUSALS)
async def mark_invoice_overdue(
    writer: WriterDep,
    response: Response,
    invoice_id: UUID,
    body: InvoiceStep | None = None,
    if_match: IfMatch = None,
) -> InvoiceRead:
    """Mark a sent invoice as overdue."""
    changed = await _step(writer, invoice_id, "overdue", body, if_match)
    return answer_changed(response, changed)


@router.post("/mark-overdue", responses=describe(409))
async def mark_overdue_invoices(
    writer: WriterDep, response: Response, body: OverdueRun | None = None
) -> OverdueResult:
    """Mark every sent invoice that was due before a day as overdue; for a daily schedule."""
    arguments = {"due_before": body.due_before.isoformat()} if body and body.due_before else {}
    try:
        answered = await writer.call_for_row("mark_overdue_invoices", arguments)
        if not answered["marked"] and await writer.is_copy():
            # The first copy has left none to mark, so nothing claimed the key once more.
            raise ReplayedError("This request has taken effect.")
    except ReplayedError:
        answered = await writer.earlier_answer()
        say_replayed(response)
    return OverdueResult.model_validate(answered)


@router.post("/{invoice_id}/send", responses=_REFUSALS)
async def send_invoice(
    writer: WriterDep,
    response: Response,
    invoice_id: UUID,
    body: InvoiceStep | None = None,
    if_match: IfMatch = None,
) -> InvoiceRead:
    """Send a draft: it gets its number, its amounts are frozen, the customer sees it."""
    return answer_changed(response, await _step(writer, invoice_id, "sent", body, if_match))


@router.post("/{invoice_id}/pay", responses=_REFUSALS)
async def pay_invoice(
    writer: WriterDep,
    response: Response,
    invoice_id: UUID,
    body: InvoiceStep | None = None,
    if_match: IfMatch = None,
) -> InvoiceRead:
    """Record that a sent or overdue invoice was paid."""
    return answer_changed(response, await _step(writer, invoice_id, "paid", body, if_match))


@router.post("/{invoice_id}/void", responses=_REFUSALS)
async def void_invoice(
    writer: WriterDep,
    response: Response,
    invoice_id: UUID,
    body: InvoiceStep | None = None,
    if_match: IfMatch = None,
) -> InvoiceRead:
    """Void an invoice; managers only."""
    return answer_changed(response, await _step(writer, invoice_id, "void", body, if_match))


async def _step(
    writer: Writer,
    invoice_id: UUID,
    to: InvoiceStatus,
    body: InvoiceStep | None,
    if_match: str | None,
) -> Changed[InvoiceRead]:
    expected = expected_version(if_match, body.version if body else None, required=False)
    return await change_row(_invoices, writer, invoice_id, {"status": to}, expected, merge=False)
