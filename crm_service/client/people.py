"""Calls about people: customers, who is there, sensitive fields, leads, calls, staff."""

from typing import Unpack
from uuid import UUID

from pydantic import RootModel, SecretStr

from crm_service.calls.schemas import CallCreate, CallRead, CallUpdate
from crm_service.client.connection import CrmConnection
from crm_service.client.queries import (
    CallQuery,
    CustomerQuery,
    LeadNoteQuery,
    LeadQuery,
    StaffQuery,
    TimelineQuery,
)
from crm_service.customers.schemas import CustomerCreate, CustomerRead, CustomerUpdate
from crm_service.events.rooms import Member, Typing
from crm_service.history.schemas import ActivityPage
from crm_service.leads.schemas import (
    LeadCreate,
    LeadNoteCreate,
    LeadNoteRead,
    LeadNoteUpdate,
    LeadRead,
    LeadUpdate,
)
from crm_service.pagination import Page
from crm_service.secrets.schemas import Reencrypted, SecretRead, SecretRevealed, SecretWrite
from crm_service.staff.schemas import Me, StaffCreate, StaffRead, StaffUpdate


class PeopleCalls(CrmConnection):
    """Customers, who is there, sensitive fields, leads, calls, staff."""

    # Customers

    async def list_customers(self, **query: Unpack[CustomerQuery]) -> Page[CustomerRead]:
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

    async def get_timeline(self, customer_id: UUID, **query: Unpack[TimelineQuery]) -> ActivityPage:
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

    async def list_leads(self, **query: Unpack[LeadQuery]) -> Page[LeadRead]:
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

    async def list_lead_notes(
        self, customer_id: UUID, **query: Unpack[LeadNoteQuery]
    ) -> Page[LeadNoteRead]:
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

    async def list_calls(self, **query: Unpack[CallQuery]) -> Page[CallRead]:
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

    # Staff

    async def get_me(self) -> Me:
        """Return who is calling."""
        return await self._get("me", Me)

    async def list_staff(self, **query: Unpack[StaffQuery]) -> Page[StaffRead]:
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
