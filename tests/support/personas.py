"""Who acts in the tests: the people of `supabase/seed.sql`, and how to be one of them in SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import asyncpg

PASSWORD = "portal-demo"
# Of that password, as quick to check as bcrypt can be; a usual one takes a tenth of a second.
PASSWORD_HASH = "$2b$04$0SYd3D4rdNhYpmRAi107fu6F3tjlI0hqpLoIwIB76KuqCxPlO/NTm"


def staff_uid(number: int) -> str:
    """Return the uid of staff member 1 (admin), 2 (manager), 3 (agent) or 4 (inactive)."""
    return f"a0000000-0000-4000-8000-{number:012d}"


def portal_uid(number: int) -> str:
    """Return the uid of portal user 1…50."""
    return f"b0000000-0000-4000-8000-{number:012d}"


def customer_id(number: int) -> str:
    """Return the id of customer 1…200; 1…50 belong to the portal user of the same number."""
    return f"c0000000-0000-4000-8000-{number:012d}"


@dataclass(frozen=True, slots=True)
class Persona:
    """One caller.

    Attributes:
        name: Short name, used as test id.
        role: PostgreSQL role that the API switches to.
        uid: `sub` of the token, None without a user.
        email: For signing in with `PASSWORD`, None without a user.
        customer: Id of the customer that is this person, None for everyone else.
    """

    name: str
    role: str
    uid: str | None = None
    email: str | None = None
    customer: str | None = None

    @property
    def claims(self) -> Mapping[str, Any]:
        """Claims of this caller's access token, without times."""
        claims: dict[str, Any] = {"role": self.role}
        if self.uid is not None:
            claims |= {
                "sub": self.uid,
                "aud": "authenticated",
                "email": self.email,
                "phone": "",
                "aal": "aal1",
                "is_anonymous": False,
                "session_id": self.uid.replace("-8000-", "-9000-"),
                "app_metadata": {"provider": "email", "providers": ["email"]},
                "user_metadata": {},
            }
        return MappingProxyType(claims)

    def __str__(self) -> str:
        return self.name


def _user(name: str, uid: str, email: str, customer: str | None = None) -> Persona:
    return Persona(name, "authenticated", uid, email, customer)


ANON = Persona("anon", "anon")
CUSTOMER_A = _user("customer_a", portal_uid(1), "customer001@example.com", customer_id(1))
CUSTOMER_B = _user("customer_b", portal_uid(2), "customer002@example.com", customer_id(2))
UNLINKED = _user("unlinked", portal_uid(999), "unlinked@example.com")
ADMIN = _user("admin", staff_uid(1), "admin@crm.example")
MANAGER = _user("manager", staff_uid(2), "manager@crm.example")
AGENT = _user("agent", staff_uid(3), "agent@crm.example")
INACTIVE = _user("inactive", staff_uid(4), "former@crm.example")
SERVICE_ROLE = Persona("service_role", "service_role")

PERSONAS: Mapping[str, Persona] = MappingProxyType(
    {
        persona.name: persona
        for persona in (
            ANON,
            CUSTOMER_A,
            CUSTOMER_B,
            UNLINKED,
            AGENT,
            MANAGER,
            ADMIN,
            INACTIVE,
            SERVICE_ROLE,
        )
    }
)


async def acting_as(
    connection: asyncpg.Connection[asyncpg.Record],
    persona: Persona | str,
    *,
    headers: Mapping[str, str] | None = None,
    **more_claims: object,
) -> None:
    """Be this persona until the end of the transaction, as the REST server does it.

    Args:
        connection: Inside a transaction, as a role that may set the persona's role (postgres).
        persona: The persona or its name.
        headers: Request headers as SQL sees them in `request.headers`, lower-case names.
        more_claims: Claims to add or replace.
    """
    who = PERSONAS[persona] if isinstance(persona, str) else persona
    if not connection.is_in_transaction():
        raise AssertionError("acting_as outside of a transaction would have no effect")
    settings = {
        "role": who.role,
        "request.jwt.claims": json.dumps({**who.claims, **more_claims}),
        "request.headers": json.dumps(dict(headers or {})),
    }
    names, values = list(settings), list(settings.values())
    await connection.execute(
        "select set_config(s.name, s.value, true) "
        "from unnest($1::text[], $2::text[]) as s (name, value)",
        names,
        values,
    )


__all__ = [
    "ADMIN",
    "AGENT",
    "ANON",
    "CUSTOMER_A",
    "CUSTOMER_B",
    "INACTIVE",
    "MANAGER",
    "PASSWORD",
    "PERSONAS",
    "SERVICE_ROLE",
    "UNLINKED",
    "Persona",
    "acting_as",
    "customer_id",
    "portal_uid",
    "staff_uid",
]
