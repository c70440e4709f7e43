"""Logins for customers of the demo data that have none: of its 200 customers 50 have one."""

from __future__ import annotations

import asyncpg

_LAST = 50
"""The last customer with a login in the demo data."""

_USERS = """
insert into auth.users (
    instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data,
    raw_user_meta_data, created_at, updated_at, confirmation_token, recovery_token,
    email_change_token_new, email_change
)
select
    u.instance_id, c.login, u.aud, u.role, c.email, u.encrypted_password, u.email_confirmed_at,
    u.raw_app_meta_data, u.raw_user_meta_data, u.created_at, u.updated_at, '', '', '', ''
from auth.users as u
cross join (
    select email, overlay(id::text placing 'b' from 1)::uuid as login
    from public.customers where id::text > $1 and id::text <= $2
) as c
where u.email = 'customer001@example.com'
on conflict do nothing
"""
_LINK = """
update public.customers set portal_user_id = overlay(id::text placing 'b' from 1)::uuid
where id::text > $1 and id::text <= $2 and portal_user_id is null
"""


async def give_logins(database_url: str, customers: int) -> None:
    """Let the first so many customers sign in, all with the demo password."""
    span = (f"c0000000-0000-4000-8000-{_LAST:012d}", f"c0000000-0000-4000-8000-{customers:012d}")
    database = await asyncpg.connect(database_url)
    try:
        await database.execute(_USERS, *span)
        await database.execute(_LINK, *span)
    finally:
        await database.close()
