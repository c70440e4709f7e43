"""What the typed client does beyond one request and one answer: repeats, keys, errors by class."""

from uuid import uuid4

import httpx
import pytest

from crm_service.bulk.schemas import BulkRequest
from crm_service.client import (
    Answered,
    CrmBulkRefusedError,
    CrmClient,
    CrmConflictError,
    CrmInvalidError,
    CrmProblemError,
    CrmUnreachableError,
)
from crm_service.customers.schemas import CustomerCreate, CustomerUpdate
from crm_service.loyalty.schemas import PointsGrant
from crm_service.messages.schemas import MessageCreate
from tests.integration.service.conftest import CRM_URL
from tests.support.crm import ScriptedSupabase, rows, scripted_app, sign_hs256
from tests.support.personas import AGENT, MANAGER


class LosesAnswers(httpx.AsyncBaseTransport):
    """Lets requests through to the service, and loses as many of the next answers."""

    def __init__(self, app, lost: int) -> None:
        self._inner = httpx.ASGITransport(app)
        self._lost = lost
        self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        response = await self._inner.handle_async_request(request)
        if self._lost:
            self._lost -= 1
            raise httpx.ReadError("the answer was lost")
        return response


@pytest.fixture
async def losing(app, http, sign_in):
    """A client whose answers get lost, what it sends through, and what it was told."""
    opened = []

    def make(lost, **options):
        transport = LosesAnswers(app, lost)
        told: list[Answered] = []
        client = httpx.AsyncClient(transport=transport)
        opened.append(client)
        crm = CrmClient(CRM_URL, sign_in(AGENT), http=client, on_answer=told.append, **options)
        return crm, transport, told

    yield make
    for client in opened:
        await client.aclose()


async def entries_of(rest, customer):
    query = {"customer_id": f"eq.{customer.id}", "select": "points"}
    return [
        each["points"] for each in (await rest.get("/loyalty_transactions", params=query)).json()
    ]


async def test_a_write_whose_answers_are_lost_takes_effect_once(losing, customer, rest):
    """Three are sent with one key; the last one is told that it is a copy."""
    crm, transport, told = losing(2, attempts=3)
    entry = await crm.award_points(PointsGrant(customer_id=customer.id, points=5))
    assert (entry.points, transport.sent) == (5, 3)
    assert [(each.path, each.status, each.replayed) for each in told] == [
        ("loyalty/award", 201, True)
    ]
    assert told[0].request_id
    assert await entries_of(rest, customer) == [5]


async def test_who_asks_for_one_attempt_gets_one(losing, customer, rest):
    """And decides by itself; without an own key a second call is a second award."""
    crm, transport, _ = losing(1)
    body = PointsGrant(customer_id=customer.id, points=5)
    with pytest.raises(CrmUnreachableError):
        await crm.award_points(body)
    assert transport.sent == 1
    await crm.award_points(body)
    assert await entries_of(rest, customer) == [5, 5]
    with pytest.raises(ValueError, match="attempts"):
        losing(0, attempts=0)


async def test_a_script_that_starts_again_goes_on_by_its_keys(losing, customer, rest):
    """What took effect is answered; the key is good for that write alone."""
    key = f"award-2026-11 {customer.id}".replace(" ", "-")
    body = PointsGrant(customer_id=customer.id, points=5)
    first, _, _ = losing(1)
    with pytest.raises(CrmUnreachableError):
        await first.keyed(key).award_points(body)
    second, _, told = losing(0)
    assert (await second.keyed(key).award_points(body)).points == 5
    assert told[0].replayed
    assert await entries_of(rest, customer) == [5]
    with pytest.raises(CrmProblemError) as caught:
        await second.keyed(key).post_message(MessageCreate(customer_id=customer.id, body="Hi"))
    assert caught.value.code == "idempotency-key-reused"
    await second.post_message(MessageCreate(customer_id=customer.id, body="Hi"))


async def test_a_refusal_is_not_repeated(losing, customer):
    """Only what may go another way the next time."""
    crm, transport, _ = losing(0, attempts=5)
    with pytest.raises(CrmProblemError):
        await crm.get_customer(uuid4())
    assert transport.sent == 1


async def test_a_service_that_cannot_serve_is_asked_again_when_it_says():
    """It names the seconds; the client waits for as long and keeps the key."""
    supabase = ScriptedSupabase(httpx.ConnectError("down"), rows(status=200))
    async with scripted_app(supabase) as (_, http):
        crm = CrmClient("http://crm.test", sign_hs256(), http=http, attempts=2)
        assert (await crm.list_customers()).items == []
        supabase.answers[:] = [httpx.ConnectError("down")]
        once = CrmClient("http://crm.test", sign_hs256(), http=http)
        with pytest.raises(CrmProblemError) as caught:
            await once.list_customers()
    assert caught.value.retryable
    assert caught.value.retry_after_s == 2


async def test_a_conflict_carries_the_row_and_both_values(acting, losing, customer):
    """By type; what was merged is told, too."""
    await acting(MANAGER).update_customer(customer.id, CustomerUpdate(phone="1"), version=1)
    crm, _, told = losing(0)
    with pytest.raises(CrmConflictError) as caught:
        await crm.update_customer(customer.id, CustomerUpdate(phone="2"), version=1)
    assert caught.value.current["phone"] == "1"
    (conflict,) = caught.value.conflicts
    assert (conflict.field, conflict.yours, conflict.theirs) == ("phone", "2", "1")
    await crm.update_customer(customer.id, CustomerUpdate(branch="n"), version=1)
    assert told[-1].merged == ("phone",)


async def test_wrong_fields_and_refused_rows_are_named(agent, customer):
    """By type."""
    with pytest.raises(CrmInvalidError) as invalid:
        await agent.list_customers(limit=0)
    assert [error.field for error in invalid.value.errors] == ["query.limit"]
    body = BulkRequest(items=[{"name": "A"}, {"name": ""}], atomic=True)
    with pytest.raises(CrmBulkRefusedError) as refused:
        await agent.create_in_bulk("customers", body)
    assert [result.status for result in refused.value.results] == ["undone", "failed"]
    taken = CustomerCreate(id=customer.id, name="Other")
    with pytest.raises(CrmProblemError) as caught:
        await agent.create_customer(taken)
    assert type(caught.value) is CrmProblemError
