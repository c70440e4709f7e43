"""Calls about what is done for customers: jobs, invoices, messages, loyalty."""

from typing import Unpack
from uuid import UUID

from crm_service.client.connection import CrmConnection
from crm_service.client.queries import InvoiceQuery, JobQuery, LoyaltyQuery, MessageQuery
from crm_service.fields import MoveToCustomer
from crm_service.invoices.schemas import (
    InvoiceCreate,
    InvoiceItems,
    InvoiceItemsReplace,
    InvoiceRead,
    InvoiceUpdate,
    OverdueResult,
    OverdueRun,
)
from crm_service.jobs.schemas import (
    JobAssign,
    JobAssignment,
    JobCreate,
    JobRead,
    JobSchedule,
    JobUpdate,
)
from crm_service.loyalty.schemas import (
    LoyaltyAccountRead,
    LoyaltyEntryRead,
    PointsAdjustment,
    PointsGrant,
    PointsRedemption,
)
from crm_service.messages.schemas import MessageCreate, MessageRead
from crm_service.pagination import Page


class WorkCalls(CrmConnection):
    """Jobs, invoices, messages, loyalty."""

    # Jobs

    async def list_jobs(self, **query: Unpack[JobQuery]) -> Page[JobRead]:
        """Return a page of jobs; ``query``: limit, cursor, customer_id, status, assigned_to."""
        return await self._get("jobs", Page[JobRead], query)

    async def get_job(self, job_id: UUID) -> JobRead:
        """Return a job."""
        return await self._get(f"jobs/{job_id}", JobRead)

    async def create_job(self, body: JobCreate) -> JobRead:
        """Create a job."""
        return await self._post("jobs", JobRead, body)

    async def update_job(self, job_id: UUID, body: JobUpdate, *, version: int) -> JobRead:
        """Change a job that is at ``version``."""
        return await self._patch(f"jobs/{job_id}", JobRead, body, version)

    async def schedule_job(
        self, job_id: UUID, body: JobSchedule, *, version: int | None = None
    ) -> JobRead:
        """Give a requested job its time."""
        return await self._post(f"jobs/{job_id}/schedule", JobRead, body, version)

    async def reschedule_job(
        self, job_id: UUID, body: JobSchedule, *, version: int | None = None
    ) -> JobRead:
        """Move a scheduled job to another time."""
        return await self._post(f"jobs/{job_id}/reschedule", JobRead, body, version)

    async def start_job(self, job_id: UUID, *, version: int | None = None) -> JobRead:
        """Start a job."""
        return await self._post(f"jobs/{job_id}/start", JobRead, None, version)

    async def complete_job(self, job_id: UUID, *, version: int | None = None) -> JobRead:
        """Complete a job."""
        return await self._post(f"jobs/{job_id}/complete", JobRead, None, version)

    async def cancel_job(self, job_id: UUID, *, version: int | None = None) -> JobRead:
        """Cancel a job."""
        return await self._post(f"jobs/{job_id}/cancel", JobRead, None, version)

    async def delete_job(self, job_id: UUID, *, version: int | None = None) -> JobRead:
        """Withdraw a job."""
        return await self._delete(f"jobs/{job_id}", JobRead, version)

    async def move_job(
        self, job_id: UUID, customer_id: UUID, *, version: int | None = None
    ) -> JobRead:
        """Move a job to another customer."""
        body = MoveToCustomer(customer_id=customer_id)
        return await self._post(f"jobs/{job_id}/move", JobRead, body, version)

    async def get_job_assignment(self, job_id: UUID) -> JobAssignment:
        """Return who does a job."""
        return await self._get(f"jobs/{job_id}/assignment", JobAssignment)

    async def assign_job(
        self, job_id: UUID, assigned_to: UUID, *, version: int | None = None
    ) -> JobAssignment:
        """Assign a job whose assignment is at ``version`` (0: never assigned)."""
        body = JobAssign(assigned_to=assigned_to)
        return await self._post(f"jobs/{job_id}/assign", JobAssignment, body, version)

    async def unassign_job(self, job_id: UUID, *, version: int | None = None) -> JobAssignment:
        """Give a job back."""
        return await self._post(f"jobs/{job_id}/unassign", JobAssignment, None, version)

    # Invoices

    async def list_invoices(self, **query: Unpack[InvoiceQuery]) -> Page[InvoiceRead]:
        """Return a page of invoices; ``query``: limit, cursor, customer_id, status."""
        return await self._get("invoices", Page[InvoiceRead], query)

    async def get_invoice(self, invoice_id: UUID) -> InvoiceRead:
        """Return an invoice."""
        return await self._get(f"invoices/{invoice_id}", InvoiceRead)

    async def create_invoice(self, body: InvoiceCreate) -> InvoiceRead:
        """Create a draft with its items."""
        return await self._post("invoices", InvoiceRead, body)

    async def update_invoice(
        self, invoice_id: UUID, body: InvoiceUpdate, *, version: int
    ) -> InvoiceRead:
        """Change an invoice that is at ``version``."""
        return await self._patch(f"invoices/{invoice_id}", InvoiceRead, body, version)

    async def send_invoice(self, invoice_id: UUID, *, version: int | None = None) -> InvoiceRead:
        """Send a draft to the customer."""
        return await self._post(f"invoices/{invoice_id}/send", InvoiceRead, None, version)

    async def pay_invoice(self, invoice_id: UUID, *, version: int | None = None) -> InvoiceRead:
        """Record that an invoice was paid."""
        return await self._post(f"invoices/{invoice_id}/pay", InvoiceRead, None, version)

    async def void_invoice(self, invoice_id: UUID, *, version: int | None = None) -> InvoiceRead:
        """Void an invoice."""
        return await self._post(f"invoices/{invoice_id}/void", InvoiceRead, None, version)

    async def mark_invoice_overdue(
        self, invoice_id: UUID, *, version: int | None = None
    ) -> InvoiceRead:
        """Mark a sent invoice as overdue."""
        return await self._post(f"invoices/{invoice_id}/mark-overdue", InvoiceRead, None, version)

    async def replace_invoice_items(
        self, invoice_id: UUID, body: InvoiceItemsReplace, *, version: int | None = None
    ) -> InvoiceRead:
        """Give a draft new items."""
        return await self._put(f"invoices/{invoice_id}/items", InvoiceRead, body, version)

    async def delete_invoice(self, invoice_id: UUID, *, version: int | None = None) -> InvoiceRead:
        """Delete a draft."""
        return await self._delete(f"invoices/{invoice_id}", InvoiceRead, version)

    async def list_invoice_items(self, invoice_id: UUID) -> InvoiceItems:
        """Return the items of an invoice, in their order."""
        return await self._get(f"invoices/{invoice_id}/items", InvoiceItems)

    async def move_invoice(
        self, invoice_id: UUID, customer_id: UUID, *, version: int | None = None
    ) -> InvoiceRead:
        """Move an invoice to another customer."""
        body = MoveToCustomer(customer_id=customer_id)
        return await self._post(f"invoices/{invoice_id}/move", InvoiceRead, body, version)

    async def mark_overdue_invoices(self, body: OverdueRun | None = None) -> OverdueResult:
        """Mark every sent invoice that was due as overdue."""
        return await self._post("invoices/mark-overdue", OverdueResult, body)

    # Messages

    async def list_messages(self, **query: Unpack[MessageQuery]) -> Page[MessageRead]:
        """Return a page of messages; ``query``: limit, cursor, customer_id, unread."""
        return await self._get("messages", Page[MessageRead], query)

    async def get_message(self, message_id: UUID) -> MessageRead:
        """Return a message."""
        return await self._get(f"messages/{message_id}", MessageRead)

    async def post_message(self, body: MessageCreate) -> MessageRead:
        """Send a message to a customer."""
        return await self._post("messages", MessageRead, body)

    async def mark_message_read(self, message_id: UUID) -> MessageRead:
        """Mark a customer's message as read."""
        return await self._post(f"messages/{message_id}/read", MessageRead, None)

    async def delete_message(self, message_id: UUID, *, version: int | None = None) -> MessageRead:
        """Take back a message of staff."""
        return await self._delete(f"messages/{message_id}", MessageRead, version)

    # Loyalty

    async def list_loyalty_entries(self, **query: Unpack[LoyaltyQuery]) -> Page[LoyaltyEntryRead]:
        """Return a page of the ledger; ``query``: q, limit, cursor, customer_id, kind."""
        return await self._get("loyalty/entries", Page[LoyaltyEntryRead], query)

    async def get_loyalty_entry(self, entry_id: UUID) -> LoyaltyEntryRead:
        """Return a ledger entry."""
        return await self._get(f"loyalty/entries/{entry_id}", LoyaltyEntryRead)

    async def get_loyalty_account(self, customer_id: UUID) -> LoyaltyAccountRead:
        """Return a customer's balance."""
        return await self._get(f"loyalty/accounts/{customer_id}", LoyaltyAccountRead)

    async def award_points(self, body: PointsGrant) -> LoyaltyEntryRead:
        """Award points."""
        return await self._post("loyalty/award", LoyaltyEntryRead, body)

    async def grant_bonus(self, body: PointsGrant) -> LoyaltyEntryRead:
        """Grant a bonus."""
        return await self._post("loyalty/bonus", LoyaltyEntryRead, body)

    async def adjust_points(self, body: PointsAdjustment) -> LoyaltyEntryRead:
        """Correct a balance."""
        return await self._post("loyalty/adjust", LoyaltyEntryRead, body)

    async def redeem_points(self, body: PointsRedemption) -> LoyaltyEntryRead:
        """Redeem points on behalf of a customer."""
        return await self._post("loyalty/redeem", LoyaltyEntryRead, body)
