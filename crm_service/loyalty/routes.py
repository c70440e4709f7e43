"""HTTP of loyalty: an append-only ledger. Who may book what is decided by the database."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response, status

from crm_service.access import Writer
from crm_service.dependencies import (
    PageDep,
    ReaderDep,
    SearchText,
    Since,
    Until,
    WriterDep,
    answer_created,
)
from crm_service.errors import NotFoundError, RuleRefusedError, UnknownReferenceError
from crm_service.filters import between, equals, search
from crm_service.loyalty.schemas import (
    EntryKind,
    LoyaltyAccountRead,
    LoyaltyEntryRead,
    PointsAdjustment,
    PointsGrant,
    PointsRedemption,
)
from crm_service.pagination import Page
from crm_service.problems import describe
from crm_service.tables import Created, Table, require_customer

router = APIRouter(prefix="/loyalty", tags=["loyalty"])
_ledger = Table("loyalty_transactions", LoyaltyEntryRead, noun="ledger entry", soft_deleted=False)
_COLLECTION = "/v1/loyalty/entries"


@router.get("/entries", response_model=Page[LoyaltyEntryRead])
async def list_loyalty_entries(
    reader: ReaderDep,
    page: PageDep,
    text: SearchText = None,
    customer_id: UUID | None = None,
    kind: Annotated[EntryKind | None, Query()] = None,
    since: Since = None,
    until: Until = None,
) -> Response:
    """List ledger entries, newest first; the search looks at the reasons."""
    filters = [
        *search(("reason",), text),
        *equals("customer_id", customer_id),
        *equals("kind", kind),
        *between("created_at", since, until),
    ]
    return await _ledger.page(reader, filters, page)


@router.get("/entries/{entry_id}", response_model=LoyaltyEntryRead, responses=describe(404))
async def get_loyalty_entry(reader: ReaderDep, entry_id: UUID) -> Response:
    """Get a ledger entry."""
    return await _ledger.answer(reader, entry_id)


@router.get("/accounts/{customer_id}", responses=describe(404))
async def get_loyalty_account(reader: ReaderDep, customer_id: UUID) -> LoyaltyAccountRead:
    """Get a customer's balance; a customer without entries has none."""
    rows = await reader.select("loyalty_accounts", {"customer_id": f"eq.{customer_id}"})
    if rows:
        return LoyaltyAccountRead.model_validate(rows[0])
    await require_customer(reader, customer_id)
    return LoyaltyAccountRead(customer_id=customer_id, balance=0, last_entry=0)


@router.post("/award", status_code=status.HTTP_201_CREATED, responses=describe(409))
async def award_points(
    writer: WriterDep, response: Response, body: PointsGrant
) -> LoyaltyEntryRead:
    """Award points."""
    return answer_created(response, await _book(writer, body, "award"), _COLLECTION)


@router.post("/bonus", status_code=status.HTTP_201_CREATED, responses=describe(409))
async def grant_bonus(writer: WriterDep, response: Response, body: PointsGrant) -> LoyaltyEntryRead:
    """Grant a bonus."""
    return answer_created(response, await _book(writer, body, "bonus"), _COLLECTION)


@router.post("/adjust", status_code=status.HTTP_201_CREATED, responses=describe(409))
async def adjust_points(
    writer: WriterDep, response: Response, body: PointsAdjustment
) -> LoyaltyEntryRead:
    """Correct the balance; managers only."""
    return answer_created(response, await _book(writer, body, "adjust"), _COLLECTION)


@router.post("/redeem", status_code=status.HTTP_201_CREATED, responses=describe(409))
async def redeem_points(
    writer: WriterDep, response: Response, body: PointsRedemption
) -> LoyaltyEntryRead:
    """Redeem points on behalf of a customer, at most the balance."""
    return answer_created(response, await _book(writer, body, "redeem"), _COLLECTION)


async def _book(
    writer: Writer, body: PointsGrant | PointsAdjustment | PointsRedemption, kind: EntryKind
) -> Created[LoyaltyEntryRead]:
    try:
        return await _ledger.create(writer, body.id, {**body.columns(), "kind": kind})
    except RuleRefusedError:
        # The database looks at the balance before it looks for the customer.
        try:
            await require_customer(writer, body.customer_id)
        except NotFoundError:
            raise UnknownReferenceError(
                "There is no customer with the id given as customer_id."
            ) from None
        raise
