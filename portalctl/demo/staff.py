"""The staff: five sessions at the CRM service, each doing their part of the recorded day."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID, uuid4

from pydantic import SecretStr, ValidationError

from crm_service.client import CrmClient
from crm_service.customers.schemas import CustomerCreate, CustomerUpdate
from crm_service.errors import ClientError
from crm_service.invoices.schemas import InvoiceCreate
from crm_service.jobs.schemas import JobCreate, JobSchedule
from crm_service.loyalty.schemas import PointsGrant
from crm_service.messages.schemas import MessageCreate
from portalctl.demo.checker import ChangeKey
from portalctl.demo.day import Action, ActionName
from portalctl.demo.errors import WriteRefusedError
from portalctl.demo.people import PASSWORD, customer_id, staff_email
from portalctl.demo.servers import Project
from portalctl.staff_session import StaffSession


@dataclass(frozen=True, slots=True)
class SentWrite:
    """A write the service has answered: the row it left, and when it was sent (monotonic)."""

    key: ChangeKey
    sent_at_ns: int


class _Row(Protocol):
    """What every answer of the service has."""

    @property
    def id(self) -> UUID: ...

    @property
    def version(self) -> int: ...


class StaffMember:
    """One member of staff with a session of their own.

    Args:
        name: Who, as the recorded day calls them.
        client: Signed in as this member of staff.
    """

    def __init__(self, name: str, client: CrmClient) -> None:
        self.name = name
        self._client = client
        self._made: dict[str, _Row] = {}
        self._perform: dict[ActionName, tuple[str, Callable[[Action], Awaitable[_Row]]]] = {
            "create_customer": ("customers", self._create_customer),
            "update_customer": ("customers", self._update_customer),
            "create_job": ("jobs", self._create_job),
            "reschedule_job": ("jobs", self._reschedule_job),
            "start_job": ("jobs", self._start_job),
            "complete_job": ("jobs", self._complete_job),
            "create_invoice": ("invoices", self._create_invoice),
            "send_invoice": ("invoices", self._send_invoice),
            "pay_invoice": ("invoices", self._pay_invoice),
            "post_message": ("messages", self._post_message),
            "award_points": ("loyalty_transactions", self._award_points),
        }

    async def prepare(self, action: Action) -> None:
        """Read what an edit is based on, as a form would when it is opened.

        Raises:
            WriteRefusedError: The service did not answer it.
        """
        if action.action == "update_customer" and self._customer_key(action) not in self._made:
            current = await self._asked(
                action, self._client.get_customer(self._customer_id(action))
            )
            self._made[self._customer_key(action)] = current

    async def perform(self, action: Action) -> SentWrite:
        """Do one action over HTTP.

        Raises:
            WriteRefusedError: The service refused it, or did not answer.
        """
        table, call = self._perform[action.action]
        sent_at_ns = time.monotonic_ns()
        row = await self._asked(action, call(action))
        name = action.of or action.ref
        if action.action in {"create_customer", "update_customer"}:
            name = self._customer_key(action)
        if name is not None:
            self._made[name] = row
        return SentWrite(ChangeKey(table, str(row.id), row.version), sent_at_ns)

    async def _asked(self, action: Action, answer: Awaitable[_Row]) -> _Row:
        try:
            return await answer
        except (ClientError, ValidationError) as error:
            raise WriteRefusedError(
                f"Action {action.seq} of the day ({action.action} by {self.name}) was refused: "
                f"{error}."
            ) from error

    @staticmethod
    def _customer_key(action: Action) -> str:
        return (
            f"customer {action.customer}" if isinstance(action.customer, int) else action.customer
        )

    def _customer_id(self, action: Action) -> UUID:
        if isinstance(action.customer, int):
            return UUID(customer_id(action.customer))
        return self._made[action.customer].id

    def _of(self, action: Action) -> _Row:
        return self._made[action.of or ""]

    async def _create_customer(self, action: Action) -> _Row:
        return await self._client.create_customer(CustomerCreate(id=uuid4(), **action.fields))

    async def _update_customer(self, action: Action) -> _Row:
        version = self._made[self._customer_key(action)].version
        body = CustomerUpdate(**action.fields)
        return await self._client.update_customer(self._customer_id(action), body, version=version)

    async def _create_job(self, action: Action) -> _Row:
        body = JobCreate(id=uuid4(), customer_id=self._customer_id(action), **action.fields)
        return await self._client.create_job(body)

    async def _reschedule_job(self, action: Action) -> _Row:
        job = self._of(action)
        body = JobSchedule(**action.fields)
        return await self._client.reschedule_job(job.id, body, version=job.version)

    async def _start_job(self, action: Action) -> _Row:
        job = self._of(action)
        return await self._client.start_job(job.id, version=job.version)

    async def _complete_job(self, action: Action) -> _Row:
        job = self._of(action)
        return await self._client.complete_job(job.id, version=job.version)

    async def _create_invoice(self, action: Action) -> _Row:
        fields: dict[str, Any] = dict(action.fields)
        job = self._made[fields.pop("job")]
        body = InvoiceCreate(
            id=uuid4(), customer_id=self._customer_id(action), job_id=job.id, **fields
        )
        return await self._client.create_invoice(body)

    async def _send_invoice(self, action: Action) -> _Row:
        invoice = self._of(action)
        return await self._client.send_invoice(invoice.id, version=invoice.version)

    async def _pay_invoice(self, action: Action) -> _Row:
        invoice = self._of(action)
        return await self._client.pay_invoice(invoice.id, version=invoice.version)

    async def _post_message(self, action: Action) -> _Row:
        body = MessageCreate(id=uuid4(), customer_id=self._customer_id(action), **action.fields)
        return await self._client.post_message(body)

    async def _award_points(self, action: Action) -> _Row:
        body = PointsGrant(id=uuid4(), customer_id=self._customer_id(action), **action.fields)
        return await self._client.award_points(body)


def session_of(role: str, project: Project) -> StaffSession:
    """Return the session of the demo's member of staff with a role."""
    key, password = project.publishable_key, SecretStr(PASSWORD)
    return StaffSession(project.url, key, staff_email(role), password)
