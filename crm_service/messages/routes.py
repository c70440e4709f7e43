"""HTTP of messages."""

from uuid import UUID

from fastapi import APIRouter, Response, status

from crm_service.dependencies import (
    Deleted,
    IfMatch,
    PageDep,
    ReaderDep,
    SearchText,
    WriterDep,
    answer,
    answer_changed,
    answer_created,
    say_replayed,
)
from crm_service.editing import delete_row
from crm_service.errors import ForbiddenError, ReplayedError
from crm_service.filters import equals, search
from crm_service.messages.schemas import MessageCreate, MessageRead
from crm_service.pagination import Page
from crm_service.problems import describe
from crm_service.tables import Table
from crm_service.versions import expected_version

router = APIRouter(prefix="/messages", tags=["messages"])
_messages = Table("messages", MessageRead, noun="message")

# PostgreSQL reads this text as the time of the transaction: the instant is the database's, not
# that of whichever server handled the request.
_DATABASE_NOW = "now"


@router.get("", response_model=Page[MessageRead])
async def list_messages(
    reader: ReaderDep,
    page: PageDep,
    text: SearchText = None,
    customer_id: UUID | None = None,
    *,
    unread: bool = False,
    deleted: Deleted = False,
) -> Response:
    """List messages, newest first; ``unread`` keeps those of customers that nobody has read."""
    filters = [*search(("body",), text), *equals("customer_id", customer_id)]
    if unread:
        filters += [("sender", "eq.customer"), ("read_at", "is.null")]
    return await _messages.page(reader, filters, page, deleted=deleted)


@router.post("", status_code=status.HTTP_201_CREATED, responses=describe(409))
async def post_message(writer: WriterDep, response: Response, body: MessageCreate) -> MessageRead:
    """Send a message to a customer."""
    created = await _messages.create(writer, body.id, body.columns())
    return answer_created(response, created, "/v1/messages")


@router.get("/{message_id}", response_model=MessageRead, responses=describe(404))
async def get_message(reader: ReaderDep, message_id: UUID) -> Response:
    """Get a message."""
    return await _messages.answer(reader, message_id)


@router.post("/{message_id}/read", responses=describe(404))
async def mark_message_read(writer: WriterDep, response: Response, message_id: UUID) -> MessageRead:
    """Mark a customer's message as read; a message that was read stays as it is."""
    unread = {"id": f"eq.{message_id}", "read_at": "is.null"}
    try:
        rows = await writer.update(_messages.name, unread, {"read_at": _DATABASE_NOW})
    except ReplayedError:
        rows = []
    if rows:
        return answer(response, _messages.parse(rows[0]))
    message = await _messages.get(writer, message_id)
    if message.read_at is None:
        raise ForbiddenError("Staff mark what customers wrote; this message is not one of those.")
    if await writer.is_copy():
        say_replayed(response)
    return answer(response, message)


@router.delete("/{message_id}", responses=describe(404, 409, 412))
async def delete_message(
    writer: WriterDep, response: Response, message_id: UUID, if_match: IfMatch = None
) -> MessageRead:
    """Take back a message of staff; it leaves the customer's portal."""
    expected = expected_version(if_match, None, required=False)
    return answer_changed(response, await delete_row(_messages, writer, message_id, expected))
