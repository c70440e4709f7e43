"""A local stack, the service, and a hundred signed-in members of staff, each in its own process.

Both are started as users start them: `portalctl up` and `python -m crm_service`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import asyncpg

from benchmarks.service.client import Connection
from benchmarks.service.processes import children_s, processor_s

ROOT = Path(__file__).resolve().parents[2]
STAFF_COUNT = 100
_PASSWORD = "portal-demo"
_NAMESPACE = UUID("7d2f3c1e-94f4-5f0a-8a52-6b3c9a4d1e07")
_ADD_STAFF = """
with made as (
    insert into auth.users (
        instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
        raw_app_meta_data, raw_user_meta_data, created_at, updated_at, confirmation_token,
        recovery_token, email_change_token_new, email_change)
    select u.instance_id, n.id, u.aud, u.role, n.email, u.encrypted_password, u.email_confirmed_at,
        u.raw_app_meta_data, u.raw_user_meta_data, now(), now(), '', '', '', ''
    from unnest($1::uuid[], $2::text[]) as n (id, email), auth.users as u
    where u.email = 'manager@crm.example'
    returning id, email
) insert into public.staff (user_id, full_name, email, role)
select id, 'Staff ' || email, email, 'manager' from made
"""


@dataclass(frozen=True, slots=True)
class World:
    """Where everything is, and who is signed in.

    Attributes:
        tokens: Access tokens, one per member of staff.
        customers: Ids of the customers of the demo data.
    """

    service_url: str
    rest_url: str
    api_key: str
    database_url: str
    service_pid: int
    stack_pid: int
    tokens: list[str]
    customers: list[str]

    def service(self, member: int = 0) -> Connection:
        """Return a connection to the service as one of the staff."""
        return Connection(
            self.service_url, {"Authorization": f"Bearer {self.tokens[member % len(self.tokens)]}"}
        )

    def rest(self, member: int = 0) -> Connection:
        """Return a connection to PostgREST's interface as one of the staff."""
        token = self.tokens[member % len(self.tokens)]
        return Connection(
            self.rest_url, {"apikey": self.api_key, "Authorization": f"Bearer {token}"}
        )

    def used_s(self) -> dict[str, float]:
        """Return the processor time each part has used so far, in seconds."""
        return {
            "service": processor_s(self.service_pid),
            "stack": processor_s(self.stack_pid),
            "postgres": children_s(self.stack_pid),
            "generator": processor_s(os.getpid()),
        }


@contextlib.asynccontextmanager
async def running_world(staff_count: int = STAFF_COUNT) -> AsyncIterator[World]:
    """Start everything, and stop it at the end."""
    async with contextlib.AsyncExitStack() as stack:
        facts, stack_pid = await stack.enter_async_context(_stack())
        env: dict[str, str] = facts["env"]
        url, service_pid = await stack.enter_async_context(_service(env))
        emails = await _add_staff(env["SUPABASE_DB_URL"], staff_count)
        tokens = [await _sign_in(facts["api_url"], env, email) for email in emails]
        database = await asyncpg.connect(env["SUPABASE_DB_URL"])
        rows = await database.fetch("select id::text from public.customers order by id limit 200")
        await database.close()
        yield World(
            service_url=url,
            rest_url=f"{facts['api_url']}/rest/v1",
            api_key=env["SUPABASE_PUBLISHABLE_KEY"],
            database_url=env["SUPABASE_DB_URL"],
            service_pid=service_pid,
            stack_pid=stack_pid,
            tokens=tokens,
            customers=[row[0] for row in rows],
        )


@contextlib.asynccontextmanager
async def _stack() -> AsyncIterator[tuple[dict[str, Any], int]]:
    command = os.environ.get("BENCH_STACK_PREFIX", "").split()
    process = await asyncio.create_subprocess_exec(
        *command,
        *(sys.executable, "-m", "portalctl", "up", "--ephemeral", "--port", "0", "--db-port", "0"),
        *("--project", str(ROOT), "--json", "--log-level", "warning"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        if not line:
            raise RuntimeError("the stack did not start")
        facts = json.loads(line)
        yield facts, facts["pid"]
    finally:
        await _stopped(process)


@contextlib.asynccontextmanager
async def _service(env: dict[str, str]) -> AsyncIterator[tuple[str, int]]:
    command = os.environ.get("BENCH_SERVICE_PREFIX", "").split()
    own = {
        "SUPABASE_URL": env["SUPABASE_URL"],
        "SUPABASE_PUBLISHABLE_KEY": env["SUPABASE_PUBLISHABLE_KEY"],
        "CRM_PORT": "0",
        "CRM_ENVIRONMENT": "development",
        # One generator sends for everybody as fast as it can; people do not.
        "CRM_RATE_LIMIT": "1000000/minute",
    }
    process = await asyncio.create_subprocess_exec(
        *command,
        *(sys.executable, "-m", "crm_service"),
        env={**os.environ, **own},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    found = None
    draining: asyncio.Task[None] | None = None
    try:
        while found is None:
            line = (await process.stderr.readline()).decode()
            if not line:
                raise RuntimeError("the service did not start")
            found = re.search(r"http://[0-9.:]+", line)
        draining = asyncio.create_task(_drain(process.stderr))
        yield found[0], process.pid
    finally:
        await _stopped(process)
        if draining is not None:
            await draining


async def _drain(stream: asyncio.StreamReader) -> None:
    """Take the service's log, which is on as in production, and forget it."""
    while await stream.read(65_536):
        pass


async def _stopped(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    await process.wait()


async def _add_staff(database_url: str, count: int) -> list[str]:
    emails = [f"staff{number:03}@crm.example" for number in range(1, count + 1)]
    ids = [uuid5(_NAMESPACE, email) for email in emails]
    database = await asyncpg.connect(database_url)
    await database.execute(_ADD_STAFF, ids, emails)
    await database.close()
    return emails


async def _sign_in(api_url: str, env: dict[str, str], email: str) -> str:
    connection = Connection(api_url, {"apikey": env["SUPABASE_PUBLISHABLE_KEY"]})
    answer = await connection.json(
        "POST", "/auth/v1/token?grant_type=password", {"email": email, "password": _PASSWORD}
    )
    connection.close()
    return str(answer["access_token"])
