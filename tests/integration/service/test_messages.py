"""Messages through the service, in the real database."""

import httpx
import pytest

from crm_service.errors import CrmProblemError
from crm_service.messages.schemas import MessageCreate
from tests.support.personas import CUSTOMER_B, staff_uid


@pytest.fixture
async def from_customer(stack, sign_in):
    """A message that customer B wrote in the portal."""
    async with httpx.AsyncClient(trust_env=False) as portal:
        response = await portal.post(
            f"{stack.api_url}/rest/v1/messages",
            json={"customer_id": CUSTOMER_B.customer, "body": "When do you come?"},
            headers={
                "apikey": stack.keys.publishable,
                "Authorization": f"Bearer {sign_in(CUSTOMER_B)}",
                "Prefer": "return=representation",
            },
        )
    response.raise_for_status()
    return response.json()[0]


async def test_a_message_is_sent_in_the_senders_name(agent, customer):
    """Sender and name come from the session, not from the body."""
    sent = await agent.post_message(MessageCreate(customer_id=customer.id, body="On our way"))
    assert (sent.sender, str(sent.sender_id)) == ("staff", staff_uid(3))
    assert sent.sender_name
    assert sent.read_at is None
    assert (await agent.list_messages(customer_id=customer.id)).items == [sent]
    assert await agent.get_message(sent.id) == sent


async def test_a_customers_message_is_read_once(agent, manager, from_customer):
    """The first reader's instant stays; marking again is harmless."""
    unread = await agent.list_messages(customer_id=CUSTOMER_B.customer, unread=True)
    assert from_customer["id"] in {str(message.id) for message in unread.items}
    first = await agent.mark_message_read(from_customer["id"])
    assert first.read_at is not None
    assert await manager.mark_message_read(from_customer["id"]) == first


async def test_staff_do_not_mark_their_own_messages(agent, customer):
    """A read receipt belongs to the receiver."""
    sent = await agent.post_message(MessageCreate(customer_id=customer.id, body="On our way"))
    with pytest.raises(CrmProblemError) as caught:
        await agent.mark_message_read(sent.id)
    assert (caught.value.status, caught.value.code) == (403, "forbidden")
