"""Who the report tries to be: one person of each kind that the database holds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

UNLINKED = "00000000-0000-4000-8000-000000000000"
_PEOPLE = """
    (select 'customer' as name, portal_user_id as uid, id as customer from public.customers
        where portal_user_id is not null and deleted_at is null order by created_at, id limit 1)
    union all
    select distinct on (1) case when active then role else 'inactive' end, user_id, null::uuid
    from public.staff order by 1, 2"""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody to try things as.

    Attributes:
        name: anon, unlinked, customer, agent, manager, admin, inactive or service_role.
        role: PostgreSQL role of the API.
        uid: `sub` of the token, None without a user.
        customer: Id of the customer that is this person.
    """

    name: str
    role: str
    uid: str | None = None
    customer: str | None = None


async def find_callers(connection: Connection) -> list[Caller]:
    """Return one caller of each kind; a kind that the database does not hold is left out."""
    rows = {row["name"]: row for row in await connection.fetch(_PEOPLE)}
    callers = [Caller("anon", "anon"), Caller("unlinked", "authenticated", UNLINKED)]
    for name in ("customer", "inactive", "agent", "manager", "admin"):
        if name in rows:
            customer = rows[name]["customer"]
            callers.append(
                Caller(
                    name,
                    "authenticated",
                    str(rows[name]["uid"]),
                    str(customer) if customer else None,
                )
            )
    return [*callers, Caller("service_role", "service_role")]


async def become(connection: Connection, caller: Caller) -> None:
    """Be this caller until the end of the transaction, as the REST server does it."""
    claims = {"role": caller.role} | ({"sub": caller.uid} if caller.uid else {})
    await connection.execute(
        "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true), "
        "set_config('request.headers', '{}', true)",
        caller.role,
        json.dumps(claims),
    )
