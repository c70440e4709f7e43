"""A typed client of the service for staff scripts, the demo and the tests.

One method per call of the API, on the same models; nothing is retried and nothing is cached.
"""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from pydantic import RootModel, SecretStr

from crm_service.analytics.schemas import Dashboard
from crm_service.bulk.kinds import BulkKind
from crm_service.bulk.schemas import BulkRequest, BulkResult
from crm_service.calls.schemas import CallCreate, CallRead, CallUpdate
from crm_service.connection import CrmConnection, Event, TokenSource
from crm_service.customers.schemas import CustomerCreate, CustomerRead, CustomerUpdate
from crm_service.events.rooms import Member, Typing
from crm_service.fields import MoveToCustomer
from crm_service.history.schemas import ActivityPage, Difference, History, Restore, Restored
from crm_service.imports.rows import ImportKind
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
from crm_service.leads.schemas import (
    LeadCreate,
    LeadNoteCreate,
    LeadNoteRead,
    LeadNoteUpdate,
    LeadRead,
    LeadUpdate,
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
from crm_service.secrets.schemas import Reencrypted, SecretRead, SecretRevealed, SecretWrite
from crm_service.staff.schemas import Me, StaffCreate, StaffRead, StaffUpdate


class CrmClient(CrmConnection):
    """Talk to one ``crm_service`` as one member of staff.

    Every method raises ``CrmProblemError`` when the service refuses or fails, and
    ``CrmUnreachableError`` when there is no answer. Creations carry an id and an idempotency key,
    so that repeating one with the same body object is safe if it names its ``id``. Cancelling a
    write leaves open whether it took effect.
    """

    # Customers

    async def list_customers(self, **query: Any) -> Page[CustomerRead]:
        """Return a page of customers; ``query``: limit, cursor, sort, q, branch, deleted."""
        return await self._get("customers", Page[CustomerRead], query)

    async def get_customer(self, customer_id: UUID) -> CustomerRead:
        """Return a customer."""
        return await self._get(f"customers/{customer_id}", CustomerRead)

    async def create_customer(self, body: CustomerCreate) -> CustomerRead:
        """Create a customer."""
        return await self._post("customers", CustomerRead, body)

    async def update_customer(
        self, customer_id: UUID, body: CustomerUpdate, *, version: int
    ) -> CustomerRead:
        """Change a customer that is at ``version``."""
        return await self._patch(f"customers/{customer_id}", CustomerRead, body, version)

    async def delete_customer(
        self, customer_id: UUID, *, version: int | None = None
    ) -> CustomerRead:
        """Close a customer's account."""
        return await self._delete(f"customers/{customer_id}", CustomerRead, version)

    async def get_timeline(self, customer_id: UUID, **query: Any) -> ActivityPage:
        """Return what happened around a customer; ``query``: table, actor, op, since, until, …."""
        return await self._get(f"customers/{customer_id}/timeline", ActivityPage, query)

    # Who is there

    async def list_online(self) -> list[Member]:
        """Return the colleagues who have an event stream open."""
        return (await self._get("online", RootModel[list[Member]])).root

    async def list_room(self, customer_id: UUID, *, room: str = "lobby") -> list[Member]:
        """Return who is in a presence room of a customer's portal."""
        path = f"customers/{customer_id}/online"
        return (await self._get(path, RootModel[list[Member]], {"room": room})).root

    async def say_typing(self, customer_id: UUID, body: Typing) -> None:
        """Tell a customer's room that you are typing, or stopped."""
        await self.request("POST", f"customers/{customer_id}/typing", body=body)

    # Sensitive fields

    async def list_secrets(self, customer_id: UUID) -> list[SecretRead]:
        """Return which sensitive fields a customer has, without their values."""
        return (
            await self._get(f"customers/{customer_id}/secrets", RootModel[list[SecretRead]])
        ).root

    async def put_secret(
        self, customer_id: UUID, name: str, value: str, *, version: int | None = None
    ) -> SecretRead:
        """Keep a sensitive value that is at ``version`` (0: there is none)."""
        body = SecretWrite(value=SecretStr(value))
        return await self._put(f"customers/{customer_id}/secrets/{name}", SecretRead, body, version)

    async def reveal_secret(self, customer_id: UUID, name: str) -> SecretRevealed:
        """Return a sensitive value; that it was read is noted."""
        return await self._post(
            f"customers/{customer_id}/secrets/{name}/reveal", SecretRevealed, None
        )

    async def delete_secret(
        self, customer_id: UUID, name: str, *, version: int | None = None
    ) -> SecretRead:
        """Forget a sensitive value."""
        return await self._delete(f"customers/{customer_id}/secrets/{name}", SecretRead, version)

    async def reencrypt_secrets(self) -> Reencrypted:
        """Encrypt values of older keys with the current one; call until ``more`` is false."""
        return await self._post("secrets/reencrypt", Reencrypted, None)

    # Leads

    async def list_leads(self, **query: Any) -> Page[LeadRead]:
        """Return a page of leads; ``query``: q, limit, cursor, sort, status, …."""
        return await self._get("leads", Page[LeadRead], query)

    async def get_lead(self, customer_id: UUID) -> LeadRead:
        """Return the lead of a customer."""
        return await self._get(f"customers/{customer_id}/lead", LeadRead)

    async def create_lead(self, customer_id: UUID, body: LeadCreate) -> LeadRead:
        """Make a customer a lead."""
        return await self._post(f"customers/{customer_id}/lead", LeadRead, body)

    async def update_lead(self, customer_id: UUID, body: LeadUpdate, *, version: int) -> LeadRead:
        """Change a lead that is at ``version``."""
        return await self._patch(f"customers/{customer_id}/lead", LeadRead, body, version)

    async def convert_lead(self, customer_id: UUID, *, version: int | None = None) -> LeadRead:
        """Record that a lead was won."""
        return await self._post(f"customers/{customer_id}/lead/convert", LeadRead, None, version)

    async def list_lead_notes(self, customer_id: UUID, **query: Any) -> Page[LeadNoteRead]:
        """Return a page of the notes on a lead."""
        path = f"customers/{customer_id}/lead/notes"
        return await self._get(path, Page[LeadNoteRead], query)

    async def create_lead_note(self, customer_id: UUID, body: LeadNoteCreate) -> LeadNoteRead:
        """Write a note on a lead."""
        return await self._post(f"customers/{customer_id}/lead/notes", LeadNoteRead, body)

    async def get_lead_note(self, customer_id: UUID, note_id: UUID) -> LeadNoteRead:
        """Return a note on a lead."""
        return await self._get(f"customers/{customer_id}/lead/notes/{note_id}", LeadNoteRead)

    async def update_lead_note(
        self, customer_id: UUID, note_id: UUID, body: LeadNoteUpdate, *, version: int
    ) -> LeadNoteRead:
        """Change a note that is at ``version``."""
        path = f"customers/{customer_id}/lead/notes/{note_id}"
        return await self._patch(path, LeadNoteRead, body, version)

    # Calls

    async def list_calls(self, **query: Any) -> Page[CallRead]:
        """Return a page of calls; ``query``: limit, cursor, sort, q, customer_id, staff_id."""
        return await self._get("calls", Page[CallRead], query)

    async def get_call(self, call_id: UUID) -> CallRead:
        """Return a call."""
        return await self._get(f"calls/{call_id}", CallRead)

    async def create_call(self, body: CallCreate) -> CallRead:
        """Log a call."""
        return await self._post("calls", CallRead, body)

    async def update_call(self, call_id: UUID, body: CallUpdate, *, version: int) -> CallRead:
        """Change a call that is at ``version``."""
        return await self._patch(f"calls/{call_id}", CallRead, body, version)

    # Jobs

    async def list_jobs(self, **query: Any) -> Page[JobRead]:
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

    async def move_job(self, job_id: UUID, customer_id: UUID) -> JobRead:
        """Move a job to another customer."""
        body = MoveToCustomer(customer_id=customer_id)
        return await self._post(f"jobs/{job_id}/move", JobRead, body)

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

    async def list_invoices(self, **query: Any) -> Page[InvoiceRead]:
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
        self, invoice_id: UUID, body: InvoiceItemsReplace
    ) -> InvoiceRead:
        """Give a draft new items."""
        return await self._put(f"invoices/{invoice_id}/items", InvoiceRead, body)

    async def delete_invoice(self, invoice_id: UUID, *, version: int | None = None) -> InvoiceRead:
        """Delete a draft."""
        return await self._delete(f"invoices/{invoice_id}", InvoiceRead, version)

    async def list_invoice_items(self, invoice_id: UUID) -> InvoiceItems:
        """Return the items of an invoice, in their order."""
        return await self._get(f"invoices/{invoice_id}/items", InvoiceItems)

    async def move_invoice(self, invoice_id: UUID, customer_id: UUID) -> InvoiceRead:
        """Move an invoice to another customer."""
        body = MoveToCustomer(customer_id=customer_id)
        return await self._post(f"invoices/{invoice_id}/move", InvoiceRead, body)

    async def mark_overdue_invoices(self, body: OverdueRun | None = None) -> OverdueResult:
        """Mark every sent invoice that was due as overdue."""
        return await self._post("invoices/mark-overdue", OverdueResult, body)

    # Messages

    async def list_messages(self, **query: Any) -> Page[MessageRead]:
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

    async def delete_message(self, message_id: UUID) -> MessageRead:
        """Take back a message of staff."""
        return await self._delete(f"messages/{message_id}", MessageRead, None)

    # Loyalty

    async def list_loyalty_entries(self, **query: Any) -> Page[LoyaltyEntryRead]:
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

    # Across tables

    async def get_me(self) -> Me:
        """Return who is calling."""
        return await self._get("me", Me)

    async def list_staff(self, **query: Any) -> Page[StaffRead]:
        """Return a page of staff; ``query``: limit, cursor, sort, q, role, active."""
        return await self._get("staff", Page[StaffRead], query)

    async def get_staff(self, user_id: UUID) -> StaffRead:
        """Return a member of staff."""
        return await self._get(f"staff/{user_id}", StaffRead)

    async def create_staff(self, body: StaffCreate) -> StaffRead:
        """Make an existing sign-in a member of staff; for admins."""
        return await self._post("staff", StaffRead, body)

    async def update_staff(self, user_id: UUID, body: StaffUpdate, *, version: int) -> StaffRead:
        """Change a member of staff who is at ``version``; for admins."""
        return await self._patch(f"staff/{user_id}", StaffRead, body, version)

    async def get_difference(self, table: str, row_id: UUID, **query: Any) -> Difference:
        """Return what differs between two versions; ``query``: from_version, to_version."""
        return await self._get(f"history/{table}/{row_id}/diff", Difference, query)

    async def get_history(self, table: str, row_id: UUID, **query: Any) -> History:
        """Return the changes of a row, newest first; ``query``: limit, before_id."""
        return await self._get(f"history/{table}/{row_id}", History, query)

    async def restore(self, table: str, row_id: UUID, body: Restore) -> Restored:
        """Put a row back to what it was after a change."""
        return await self._post(f"history/{table}/{row_id}/restore", Restored, body)

    async def list_activity(self, **query: Any) -> ActivityPage:
        """Return what happened; ``query``: limit, before_id, table, customer_id, actor."""
        return await self._get("activity", ActivityPage, query)

    async def get_dashboard(self, **query: Any) -> Dashboard:
        """Return the dashboard; ``query``: first_day, last_day, zone."""
        return await self._get("analytics/dashboard", Dashboard, query)

    async def create_in_bulk(self, kind: BulkKind, body: BulkRequest) -> BulkResult:
        """Create up to 1,000 rows of a kind."""
        return await self._post(f"bulk/{kind}", BulkResult, body)

    async def import_csv(
        self, kind: ImportKind, content: bytes, *, key: str | None = None, **query: Any
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Import a CSV file; yield its events: ``progress`` and in the end ``report``.

        Args:
            kind: What the lines are.
            content: The file in UTF-8.
            key: Idempotency key; needed without ``key_column``.
            query: key_column, map (``Header=column``, several), source, dry_run.

        Raises:
            CrmProblemError: Refused, at once or half-way; importing again continues.
            CrmUnreachableError: No answer, or the connection broke.
        """
        headers = {"Content-Type": "text/csv", **({"Idempotency-Key": key} if key else {})}
        path = f"imports/{kind}"
        async for event in self.stream("POST", path, query=query, content=content, headers=headers):
            yield event.name, event.data

    async def export_csv(self, kind: str) -> bytes:
        """Return everything of a kind as a CSV file in UTF-8."""
        return (await self.request("GET", f"exports/{kind}")).content

    async def follow_events(
        self, last_event_id: str | None = None, **query: Any
    ) -> AsyncIterator[Event]:
        """Yield what happens, from now on or behind the event with this id.

        Args:
            last_event_id: ``id`` of the last event taken in; after a lost connection the stream
                goes on behind it, without gaps.
            query: customer_id, room, visible.

        Raises:
            CrmProblemError: Refused, or the session ended.
            CrmUnreachableError: No answer, or the connection broke.
        """
        headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
        async for event in self.stream("GET", "events", query=query, headers=headers):
            yield event


__all__ = ["CrmClient", "Event", "TokenSource"]
