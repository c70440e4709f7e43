"""Loyalty points through the service, in the real database."""

import asyncio
from uuid import uuid4

import pytest

from crm_service.errors import CrmProblemError
from crm_service.loyalty.schemas import PointsAdjustment, PointsGrant, PointsRedemption


async def test_points_are_booked_in_order(agent, manager, customer):
    """Award, bonus and adjustment: a dense ledger with a running balance."""
    empty = await agent.get_loyalty_account(customer.id)
    assert (empty.balance, empty.last_entry) == (0, 0)
    entries = [
        await agent.award_points(PointsGrant(customer_id=customer.id, points=100, reason="Hi")),
        await agent.grant_bonus(PointsGrant(customer_id=customer.id, points=50)),
        await manager.adjust_points(PointsAdjustment(customer_id=customer.id, points=-20)),
    ]
    assert [(entry.entry_no, entry.balance_after, entry.kind) for entry in entries] == [
        (1, 100, "award"),
        (2, 150, "bonus"),
        (3, 130, "adjust"),
    ]
    assert (await agent.get_loyalty_account(customer.id)).balance == 130
    listed = await agent.list_loyalty_entries(customer_id=customer.id)
    assert [entry.id for entry in listed.items] == [entry.id for entry in reversed(entries)]
    bonuses = await agent.list_loyalty_entries(customer_id=customer.id, kind="bonus")
    assert bonuses.items == [entries[1]]
    assert await agent.get_loyalty_entry(entries[0].id) == entries[0]


async def test_adjusting_is_for_managers(agent, customer):
    """The database decides by role."""
    with pytest.raises(CrmProblemError) as caught:
        await agent.adjust_points(PointsAdjustment(customer_id=customer.id, points=5))
    assert (caught.value.status, caught.value.code) == (403, "forbidden")
    assert caught.value.detail == "Your role may not write this row. Ask a manager or an admin."


async def test_the_balance_never_goes_below_zero(manager, customer):
    """The refusal says what there is."""
    with pytest.raises(CrmProblemError) as caught:
        await manager.adjust_points(PointsAdjustment(customer_id=customer.id, points=-1))
    assert (caught.value.status, caught.value.code) == (422, "rule-refused")
    assert "balance" in caught.value.detail


async def test_concurrent_duplicates_award_once(agent, customer):
    """Five copies of one request: one entry, five equal answers."""
    body = PointsGrant(id=uuid4(), customer_id=customer.id, points=10)
    answers = await asyncio.gather(*(agent.award_points(body) for _ in range(5)))
    assert len({answer.model_dump_json() for answer in answers}) == 1
    assert (await agent.get_loyalty_account(customer.id)).balance == 10


async def test_an_unknown_customer_has_no_account(agent):
    """404, not an empty balance."""
    with pytest.raises(CrmProblemError) as caught:
        await agent.get_loyalty_account(uuid4())
    assert caught.value.status == 404


async def test_nobody_has_no_points_to_spend(manager):
    """An id that is no customer's is told, not a balance of 0."""
    for book, body in (
        (manager.redeem_points, PointsRedemption(customer_id=uuid4(), points=5)),
        (manager.adjust_points, PointsAdjustment(customer_id=uuid4(), points=-5)),
    ):
        with pytest.raises(CrmProblemError) as caught:
            await book(body)
        assert (caught.value.status, caught.value.code) == (409, "unknown-reference")
