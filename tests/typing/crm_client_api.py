"""The types a staff script sees. Checked by mypy and basedpyright, never run."""

# pyright: strict

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any, assert_type
from uuid import UUID

from crm_service.analytics.schemas import Dashboard
from crm_service.bulk.schemas import BulkRequest, BulkResult, RowResult
from crm_service.client import (
    Answered,
    CrmBulkRefusedError,
    CrmClient,
    CrmConflictError,
    CrmInvalidError,
    CrmProblemError,
    CrmUnreachableError,
    Event,
)
from crm_service.customers.schemas import CustomerCreate, CustomerRead, CustomerUpdate
from crm_service.history.schemas import ActivityPage, Difference, History, Restore, Restored
from crm_service.invoices.schemas import InvoiceCreate, InvoiceItem, InvoiceRead
from crm_service.jobs.schemas import JobRead
from crm_service.loyalty.schemas import LoyaltyEntryRead, PointsGrant
from crm_service.pagination import Page
from crm_service.problems import FieldProblem
from crm_service.versions import FieldConflict


async def current_token() -> str:
    return "token"


def told(answered: Answered) -> None:
    assert_type(answered.merged, tuple[str, ...])
    assert_type(answered.replayed, bool)


async def a_day_at_the_desk(customer_id: UUID) -> None:
    async with CrmClient("http://crm", current_token, attempts=3, on_answer=told) as crm:
        assert_type(crm, CrmClient)
        customer = await crm.create_customer(CustomerCreate(name="Ada", email="ada@example.com"))
        assert_type(customer, CustomerRead)
        page = await crm.list_customers(q="Ada", limit=10, sort="-created_at", deleted=False)
        assert_type(page, Page[CustomerRead])
        assert_type(page.items[0].deleted_at, datetime | None)
        jobs = await crm.list_jobs(status=["scheduled"], assigned_to="me")
        assert_type(jobs, Page[JobRead])
        invoice = await crm.create_invoice(
            InvoiceCreate(
                customer_id=customer_id,
                due_on=date(2026, 12, 31),
                items=[InvoiceItem(description="Boiler", unit_price_cents=12_000)],
            )
        )
        assert_type(await crm.send_invoice(invoice.id, version=invoice.version), InvoiceRead)
        grant = PointsGrant(customer_id=customer_id, points=5)
        assert_type(await crm.keyed("award-1").award_points(grant), LoyaltyEntryRead)
        assert_type(
            await crm.create_in_bulk("customers", BulkRequest(items=[{"name": "A"}])), BulkResult
        )
        history = await crm.get_history("customers", customer_id, limit=5)
        assert_type(history, History)
        restore = Restore(change_id=history.entries[0].id)
        assert_type(await crm.restore("customers", customer_id, restore), Restored)
        difference = await crm.get_difference("customers", customer_id, from_version=1)
        assert_type(difference, Difference)
        activity = await crm.list_activity(since=datetime.now(UTC), op="update")
        assert_type(activity, ActivityPage)
        assert_type(await crm.get_dashboard(first_day=date(2026, 1, 1)), Dashboard)
        events = crm.follow_events(customer_id=customer_id)
        assert_type(events, AsyncIterator[Event])


async def an_edit(crm: CrmClient, customer: CustomerRead) -> None:
    try:
        await crm.update_customer(customer.id, CustomerUpdate(phone="1"), version=customer.version)
    except CrmConflictError as conflict:
        assert_type(conflict.current, dict[str, Any])
        assert_type(conflict.conflicts, list[FieldConflict])
    except CrmInvalidError as invalid:
        assert_type(invalid.errors, list[FieldProblem])
    except CrmBulkRefusedError as refused:
        assert_type(refused.results, list[RowResult])
    except CrmProblemError as problem:
        assert_type(problem.retry_after_s, int | None)
        assert_type(problem.code, str)
    except CrmUnreachableError as unreachable:
        assert_type(unreachable.retryable, bool)
