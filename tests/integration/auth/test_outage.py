"""What the auth server answers while PostgreSQL is down, and afterwards."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest
from supabase_auth import AsyncGoTrueClient
from supabase_auth.errors import AuthRetryableError

from local_stack.folder import FolderLock, load_passwords, make_ephemeral
from local_stack.postgres.bootstrap import apply_bootstrap
from local_stack.postgres.cluster import Cluster, ClusterConfig
from tests.integration.auth.auth_api import PASSWORD, AuthApi, running_auth_api
from tests.support.cluster import Database
from tests.support.waiting import eventually

EMAIL = "jo@example.com"
UNREACHABLE = {
    "code": 503,
    "error_code": "unexpected_failure",
    "msg": "The database is not reachable",
}


@dataclass
class OwnDatabase:
    """The database of a cluster that the test may stop."""

    cluster: Cluster
    passwords: dict[str, str]

    @property
    def admin_url(self) -> str:
        return self.cluster.admin_dsn()

    def url_as(self, role: str) -> str:
        return self.cluster.dsn(role, self.passwords[role])


@pytest.fixture
async def own_database() -> AsyncIterator[OwnDatabase]:
    """A PostgreSQL server of this test's own, with the platform in it."""
    folder = make_ephemeral()
    try:
        with FolderLock(folder):
            passwords = load_passwords(folder)
            config = ClusterConfig(folder / "postgres", passwords["supabase_admin"], durable=False)
            async with Cluster(config) as cluster:
                await apply_bootstrap(cluster.admin_dsn(), passwords)
                yield OwnDatabase(cluster, passwords)
    finally:
        shutil.rmtree(folder)


async def test_a_stopped_database_is_503_and_its_return_is_noticed(
    own_database: OwnDatabase,
) -> None:
    """Every route that needs the database says so; sessions go on where they were afterwards."""
    database: Any = own_database
    async with running_auth_api(database, database_timeout_s=5.0) as api:
        await api.add_user(EMAIL)
        session = await api.sign_in(EMAIL)
        await own_database.cluster.stop()
        bearer = session["access_token"]
        unanswered = [
            await api.call("POST", "/token?grant_type=password", {"email": EMAIL, "password": "x"}),
            await api.refresh(session["refresh_token"]),
            await api.call("POST", "/signup", {"email": "b@example.com", "password": PASSWORD}),
            await api.call("GET", "/user", bearer=bearer),
            await api.call("PUT", "/user", {"data": {}}, bearer=bearer),
            await api.call("POST", "/logout", bearer=bearer),
            await api.admin("GET", "/admin/users"),
            await api.admin("POST", "/admin/users", {"email": "b@example.com"}),
            await api.admin("DELETE", f"/admin/users/{session['user']['id']}"),
        ]
        assert [answer.status_code for answer in unanswered] == [503] * len(unanswered)
        assert [answer.json() for answer in unanswered] == [UNREACHABLE] * len(unanswered)
        for path, status in (("/ready", 503), ("/live", 200)):
            assert (await api.http.get(api.url + path)).status_code == status
        for path in ("/health", "/settings", "/.well-known/jwks.json"):
            assert (await api.call("GET", path)).status_code == 200
        client = AsyncGoTrueClient(
            url=f"{api.url}/auth/v1", headers={"apikey": api.keys.publishable},
            http_client=api.http, auto_refresh_token=False,
        )  # fmt: skip
        with pytest.raises(AuthRetryableError):
            await client.refresh_session(session["refresh_token"])

        await own_database.cluster.restart()

        async def refreshed() -> bool:
            return (await api.refresh(session["refresh_token"])).status_code == 200

        await eventually(refreshed)
        assert (await api.call("GET", "/user", bearer=bearer)).status_code == 200
        assert (await api.http.get(f"{api.url}/ready")).status_code == 200


async def test_a_server_that_is_not_started_answers_503(own_database: OwnDatabase) -> None:
    """Between mounting and starting, and after stopping, nothing fails in another way."""
    database: Any = own_database
    async with running_auth_api(database) as api:
        await api.add_user(EMAIL)
        await api.server.stop()
        await api.server.stop()
        body = {"email": EMAIL, "password": PASSWORD}
        answer = await api.call("POST", "/token?grant_type=password", body)
        assert (answer.status_code, answer.json()) == (503, UNREACHABLE)
        await api.server.start()
        await api.sign_in(EMAIL)


async def test_a_connection_lost_while_writing_is_503_and_writes_nothing(
    own_auth_api: AuthApi,
) -> None:
    """A sign-up whose connection is cut in the middle may be sent again."""
    await own_auth_api.rows("""
        create function public.wait() returns trigger language plpgsql as
        $$ begin perform pg_sleep(60); return new; end $$
    """)
    await own_auth_api.rows("""
        create trigger wait after insert on auth.users
        for each row execute function public.wait()
    """)
    body = {"email": EMAIL, "password": PASSWORD}
    waiting = asyncio.create_task(own_auth_api.call("POST", "/signup", body))
    find = (
        "select pid from pg_stat_activity where datname = current_database()"
        " and wait_event = 'PgSleep'"
    )
    [row] = await eventually(lambda: own_auth_api.rows(find))
    await own_auth_api.rows("select pg_terminate_backend($1)", row["pid"])
    answer = await waiting
    assert (answer.status_code, answer.json()) == (503, UNREACHABLE)
    await own_auth_api.rows("drop trigger wait on auth.users")
    assert await own_auth_api.rows("select from auth.users") == []
    assert (await own_auth_api.call("POST", "/signup", body)).status_code == 200


async def test_a_full_pool_is_503_and_recovers(bare_database: Database) -> None:
    """Requests that find no connection in time are told to come again; the others finish."""
    async with running_auth_api(bare_database, pool_size=1, database_timeout_s=0.5) as api:
        await api.add_user(EMAIL)
        holder = await asyncpg.connect(api.database.admin_url)
        try:
            await holder.execute("begin; lock table auth.users in access exclusive mode")
            stuck = [asyncio.create_task(api.admin("GET", "/admin/users")) for _ in range(4)]
            answers = await asyncio.gather(*stuck)
        finally:
            await holder.close()
        assert {answer.status_code for answer in answers} == {503}
        assert (await api.admin("GET", "/admin/users")).status_code == 200
