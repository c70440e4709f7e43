"""PostgREST slow, silent or failing: 503 in time, nothing to restart; and what the log tells."""

from __future__ import annotations

import asyncio
import json
import signal
from uuid import UUID

import httpx
import pytest

from crm_service.client import CrmClient
from crm_service.customers.schemas import CustomerCreate
from crm_service.errors import CrmProblemError
from crm_service.events.rooms import Typing
from crm_service.messages.schemas import MessageCreate
from tests.integration.service.conftest import FIELD_KEY
from tests.integration.service.test_process import serving
from tests.support.crm import assert_problem, running_app
from tests.support.personas import AGENT, CUSTOMER_A


@pytest.fixture
def faults(stack):
    """Switches that make the stack misbehave; all off at the end."""
    yield stack.faults
    stack.faults.reset()


@pytest.mark.parametrize("how", ["hangs", "fails", "is slow"])
async def test_no_request_hangs_and_the_next_one_works(settings, sign_in, faults, how):
    """Many at once, more than there are connections; reads and writes; then all is well again."""
    patience = settings.model_copy(update={"database_timeout_s": 0.4, "database_connections": 4})
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}
    own = f"/v1/customers/{CUSTOMER_A.customer}"
    body = {"customer_id": CUSTOMER_A.customer, "body": "Are you there?"}
    faults.http_paths = ("/rest/",)
    async with running_app(patience) as (_, client):
        assert (await client.get(own, headers=headers)).status_code == 200
        if how == "hangs":
            faults.http_hang = True
        elif how == "fails":
            faults.http_refuse = 502
        else:
            faults.http_delay_s = 5.0
        async with asyncio.timeout(20):
            answers = await asyncio.gather(
                *(client.get(own, headers=headers) for _ in range(20)),
                *(client.post("/v1/messages", json=body, headers=headers) for _ in range(5)),
            )
            ready = await client.get("/ready")
        code = "database-unavailable" if how == "fails" else "database-timeout"
        for answer in (*answers, ready):
            assert_problem(answer, 503, code)
            assert int(answer.headers["Retry-After"]) > 0
        assert (await client.get("/live")).status_code == 200
        faults.reset()
        assert (await client.get(own, headers=headers)).status_code == 200
        assert (await client.get("/ready")).status_code == 200


async def test_the_log_names_nobody(stack, sign_in):
    """Everything a service says at its most talkative, after good, bad and live requests."""
    mark, code, token = "Zyxwvut", "4711#98765", sign_in(AGENT)
    settings = {"CRM_LOG_LEVEL": "debug", "CRM_FIELD_KEYS": FIELD_KEY}
    async with serving(stack, **settings) as (process, url):
        reading = asyncio.create_task(process.stderr.read())
        async with CrmClient(url, token) as crm:
            body = CustomerCreate(name=mark, email=f"{mark}@example.com", address=mark)
            customer = await crm.create_customer(body)
            await crm.post_message(MessageCreate(customer_id=customer.id, body=mark))
            assert (await crm.list_customers(q=mark)).items == [customer]
            await crm.put_secret(customer.id, "gate_code", code)
            await crm.reveal_secret(customer.id, "gate_code")
            await crm.list_online()
            await crm.say_typing(customer.id, Typing(is_typing=True))
            await anext(crm.follow_events())
            with pytest.raises(CrmProblemError):
                await crm.get_customer(UUID(int=0))
        async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
            await client.get(f"/{mark}?q={mark}", headers={"X-Request-Id": f"{mark} x"})
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            await client.post("/v1/customers", content=f'{{"nme": "{mark}"', headers=headers)
        process.send_signal(signal.SIGINT)
        log = (await reading).decode()
    entries = [json.loads(line) for line in log.splitlines()]
    assert sum(entry["event"] == "request" for entry in entries) >= 10
    assert [entry for entry in entries if "trace" in entry] == []
    key = stack.keys.publishable
    for secret in (mark, mark.lower(), code, str(customer.id), token[:40], token[-20:], key):
        assert secret not in log
