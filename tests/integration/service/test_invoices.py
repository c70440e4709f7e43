"""Invoices through the service, in the real database."""

from datetime import UTC, date, datetime, timedelta

import pytest

from crm_service.errors import CrmProblemError
from crm_service.invoices.schemas import InvoiceCreate, InvoiceItem, InvoiceUpdate, OverdueRun

ITEMS = [
    InvoiceItem(description="Boiler service", quantity=1, unit_price_cents=12_000),
    InvoiceItem(description="Valve", quantity=2, unit_price_cents=950),
]


@pytest.fixture
async def draft(agent, customer):
    """A draft with two items."""
    return await agent.create_invoice(
        InvoiceCreate(
            customer_id=customer.id, items=ITEMS, due_on=date(2026, 12, 31), notes="Thanks"
        )
    )


async def test_a_draft_has_its_lines_and_total(agent, draft):
    """Invoice and items are one transaction; the total is the database's."""
    assert (draft.status, draft.number, draft.total_cents) == ("draft", None, 13_900)
    assert [line.amount_cents for line in draft.lines] == [12_000, 1_900]
    assert draft.notes == "Thanks"
    assert await agent.get_invoice(draft.id) == draft


async def test_a_sent_invoice_is_numbered_and_then_paid(agent, draft):
    """Draft, sent, paid."""
    sent = await agent.send_invoice(draft.id, version=draft.version)
    assert sent.status == "sent"
    assert sent.number is not None
    assert sent.sent_at is not None
    paid = await agent.pay_invoice(draft.id, version=sent.version)
    assert (paid.status, paid.number) == ("paid", sent.number)
    assert paid.paid_at is not None


async def test_voiding_is_for_managers(agent, manager, draft):
    """The database decides by role; the agent is told, the manager succeeds."""
    with pytest.raises(CrmProblemError) as caught:
        await agent.void_invoice(draft.id)
    assert (caught.value.status, caught.value.code) == (403, "forbidden")
    assert (await manager.void_invoice(draft.id)).status == "void"


async def test_a_paid_invoice_cannot_be_sent_again(agent, draft):
    """The state machine's explanation reaches the caller."""
    await agent.send_invoice(draft.id)
    await agent.pay_invoice(draft.id)
    with pytest.raises(CrmProblemError) as caught:
        await agent.send_invoice(draft.id)
    assert (caught.value.status, caught.value.code) == (422, "rule-refused")


async def test_a_draft_is_edited_and_a_sent_invoice_is_frozen(agent, draft):
    """Due date changes on the draft; afterwards the refusal names the field."""
    edited = await agent.update_invoice(
        draft.id, InvoiceUpdate(due_on=date(2027, 1, 31)), version=draft.version
    )
    assert edited.due_on == date(2027, 1, 31)
    sent = await agent.send_invoice(draft.id)
    with pytest.raises(CrmProblemError) as caught:
        await agent.update_invoice(
            draft.id, InvoiceUpdate(due_on=date(2027, 2, 28)), version=sent.version
        )
    assert caught.value.code == "rule-refused"
    assert "due_on" in caught.value.detail


async def test_a_repeated_draft_is_one_invoice(agent, customer):
    """Same id and items: the same invoice; other items: refused."""
    from uuid import uuid4

    body = InvoiceCreate(id=uuid4(), customer_id=customer.id, items=ITEMS)
    first = await agent.create_invoice(body)
    assert await agent.create_invoice(body) == first
    with pytest.raises(CrmProblemError) as caught:
        await agent.create_invoice(body.model_copy(update={"items": ITEMS[:1]}))
    assert (caught.value.status, caught.value.code) == (409, "already-exists")
    assert len((await agent.list_invoices(customer_id=customer.id)).items) == 1


async def test_a_day_to_come_marks_no_invoice(agent, draft):
    """The day is named in the refusal; today does."""
    sent = await agent.send_invoice(draft.id, version=draft.version)
    to_come = datetime.now(UTC).date() + timedelta(days=2)
    with pytest.raises(CrmProblemError) as refused:
        await agent.mark_overdue_invoices(OverdueRun(due_before=to_come))
    assert (refused.value.status, refused.value.code) == (422, "rule-refused")
    assert f"due_before: {to_come}" in str(refused.value)
    assert await agent.get_invoice(draft.id) == sent
    today = datetime.now(UTC).date()
    assert (await agent.mark_overdue_invoices(OverdueRun(due_before=today))).due_before == today
