"""Write to a customer as a member of staff, through the CRM service.

usage: python examples/staff_message.py "We are on our way."
needs: SUPABASE_URL and SUPABASE_PUBLISHABLE_KEY (portalctl env), and CRM_URL, the running service
"""

import asyncio
import os
import sys

import httpx

from crm_service.client import CrmClient
from crm_service.messages.schemas import MessageCreate

CUSTOMER_1 = "c0000000-0000-4000-8000-000000000001"


async def sign_in(email: str, password: str) -> str:
    """Return the access token of a member of staff."""
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{os.environ['SUPABASE_URL']}/auth/v1/token?grant_type=password",
            headers={"apikey": os.environ["SUPABASE_PUBLISHABLE_KEY"]},
            json={"email": email, "password": password},
        )
        return str(answer.raise_for_status().json()["access_token"])


async def main(text: str) -> None:
    """Sign in as the demo agent and send one message to customer 1."""
    token = await sign_in("agent@crm.example", "portal-demo")
    async with CrmClient(os.environ.get("CRM_URL", "http://127.0.0.1:8000"), token) as crm:
        body = MessageCreate.model_validate({"customer_id": CUSTOMER_1, "body": text})
        sent = await crm.post_message(body)
        print(f"{sent.sender_name} wrote message {sent.id}")


asyncio.run(main(" ".join(sys.argv[1:]) or "We are on our way."))
