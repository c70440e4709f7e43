"""What clients get while the database is away, busy, or coming back."""

import asyncio

import asyncpg
import pytest

from local_stack.rest import RestConfig
from tests.integration.rest.conftest import Made, RunningRest
from tests.support.waiting import eventually


@pytest.fixture
def small(cluster):
    """A server with two connections and short waits."""
    database = Made(cluster).database("rest_outage")
    running = RunningRest(database, RestConfig(pool_size=2, pool_timeout_s=0.2))
    yield running
    running.close()
    cluster.drop(database)


async def cut(rest, *, allow):
    """Cut all connections to the database and allow or forbid new ones."""
    admin = rest.database.cluster.url_as("supabase_admin", "postgres")
    connection = await asyncpg.connect(admin)
    try:
        name = rest.database.name
        await connection.execute(f'alter database "{name}" allow_connections {allow}')
        await connection.fetch(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1", name
        )
    finally:
        await connection.close()


async def test_cut_connections_are_replaced_unnoticed(small):
    async with small.client() as http:
        await asyncio.gather(*(http.get("/clients") for _ in range(4)))
        await cut(small, allow=True)
        assert (await http.get("/clients")).status_code == 200
        made = await http.post("/clients", json={"id": 60, "name": "x"})
        assert made.status_code == 201


async def test_a_database_that_is_away_is_503_and_comes_back_without_restart(small):
    async with small.client() as http:
        await cut(small, allow=False)
        for method in ("GET", "POST"):
            down = await http.request(method, "/clients", json={"id": 61, "name": "x"})
            assert down.status_code == 503
            assert down.json()["code"] in ("PGRST000", "PGRST001")
        missing = await http.get("/not_there")
        assert missing.status_code == 503
        await cut(small, allow=True)

        async def answers():
            return (await http.get("/clients")).status_code == 200

        await eventually(answers)


async def test_a_busy_pool_is_504_and_recovers(small):
    async with small.client() as http:
        slow = [asyncio.create_task(http.post("/rpc/slow", json={"seconds": 1})) for _ in range(2)]

        async def is_full():
            response = await http.get("/clients")
            return response.status_code == 504 and response.json()["code"] == "PGRST003"

        await eventually(is_full)
        assert [response.status_code for response in await asyncio.gather(*slow)] == [204, 204]
        assert (await http.get("/clients")).status_code == 200


async def test_a_connection_lost_in_the_middle_is_503(small):
    async with small.client() as http:
        slow = asyncio.create_task(http.post("/rpc/slow", json={"seconds": 30}))

        async def running():
            rows = await small.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where query like '%\"slow\"%' and state = 'active' and pid <> pg_backend_pid()"
            )
            return bool(rows)

        await eventually(running)
        response = await slow
        assert response.status_code == 503
        assert (await http.get("/clients")).status_code == 200
