"""HTTP of customers."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status

from crm_service.customers.schemas import CustomerCreate, CustomerRead, CustomerUpdate
from crm_service.dependencies import (
    Deleted,
    IfMatch,
    ReaderDep,
    SearchText,
    WriterDep,
    answer_changed,
    answer_created,
    paging,
)
from crm_service.editing import change_row, delete_row
from crm_service.filters import equals, search
from crm_service.pagination import Page, PageRequest
from crm_service.problems import describe
from crm_service.tables import Table
from crm_service.versions import expected_version

router = APIRouter(prefix="/customers", tags=["customers"])
_customers = Table("customers", CustomerRead, noun="customer")


_PageDep = Annotated[PageRequest, Depends(paging("name", "updated_at"))]


@router.get("", response_model=Page[CustomerRead])
async def list_customers(
    reader: ReaderDep,
    page: _PageDep,
    text: SearchText = None,
    branch: Annotated[str | None, Query(max_length=100, pattern=r"^[^\x00]*$")] = None,
    *,
    has_portal: Annotated[bool | None, Query(description="With a portal sign-in?")] = None,
    deleted: Deleted = False,
) -> Response:
    """List customers; the search looks at name, e-mail, phone and address."""
    filters = search(("name", "email", "phone", "address"), text) + equals("branch", branch)
    if has_portal is not None:
        filters.append(("portal_user_id", "not.is.null" if has_portal else "is.null"))
    return await _customers.page(reader, filters, page, deleted=deleted)


@router.post("", status_code=status.HTTP_201_CREATED, responses=describe(409))
async def create_customer(
    writer: WriterDep, response: Response, body: CustomerCreate
) -> CustomerRead:
    """Create a customer."""
    created = await _customers.create(writer, body.id, body.columns())
    return answer_created(response, created, "/v1/customers")


@router.get("/{customer_id}", response_model=CustomerRead, responses=describe(404))
async def get_customer(reader: ReaderDep, customer_id: UUID) -> Response:
    """Get a customer."""
    return await _customers.answer(reader, customer_id)


@router.patch("/{customer_id}", responses=describe(404, 409, 412, 428))
async def update_customer(
    writer: WriterDep,
    response: Response,
    customer_id: UUID,
    body: CustomerUpdate,
    if_match: IfMatch = None,
) -> CustomerRead:
    """Change some fields of a customer."""
    expected = expected_version(if_match, body.version, required=True)
    changed = await change_row(_customers, writer, customer_id, body.changes(), expected)
    return answer_changed(response, changed)


@router.delete("/{customer_id}", responses=describe(404, 409, 412))
async def delete_customer(
    writer: WriterDep, response: Response, customer_id: UUID, if_match: IfMatch = None
) -> CustomerRead:
    """Close a customer's account: the portal sign-in loses access at once; the rows stay."""
    expected = expected_version(if_match, None, required=False)
    return answer_changed(response, await delete_row(_customers, writer, customer_id, expected))
