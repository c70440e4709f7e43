"""portal_sdk.testing: portals can be tested without a project, and with minutes passing at once."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from portal_sdk import ConfigurationError, ReadyTimeoutError, StateError, WriteRefusedError
from portal_sdk.testing import FakeProject, FaultProxy, manual_clock
from tests.support.waiting import eventually


async def test_a_portal_follows_a_project_in_memory() -> None:
    """Insert, update and remove arrive with the previous row; the tables equal the project."""
    project = FakeProject()
    jo = project.add_customer(name="Jo")
    job_id = project.insert(jo, "jobs", title="Boiler", status="requested")
    async with project.portal(jo) as portal:
        await portal.ready()
        assert (portal.customer.name, portal.jobs[job_id].title) == ("Jo", "Boiler")
        stream = portal.jobs.changes()
        project.update(jo, "jobs", job_id, title="Pump")
        change = await asyncio.wait_for(anext(stream), 5)
        assert (change.kind, change.previous.title, change.record.title) == (  # type: ignore[union-attr]
            "update", "Boiler", "Pump",
        )  # fmt: skip
        project.remove(jo, "jobs", job_id)
        assert (await asyncio.wait_for(anext(stream), 5)).kind == "delete"
        assert len(portal.jobs) == 0


async def test_every_write_works_against_it_and_can_be_refused() -> None:
    """Messages, receipts, profile, preferences, points and jobs; then a refusal rolls back."""
    project = FakeProject()
    jo = project.add_customer()
    note = project.insert(jo, "messages", body="Hello")
    project.insert(jo, "loyalty_transactions", entry_no=1, points=100, balance_after=100)
    async with project.portal(jo) as portal:
        await portal.ready()
        requested = await portal.jobs.request("Boiler")
        for write in (
            await portal.messages.send("hi"),
            await portal.messages.mark_read(note),
            await portal.profile.update(phone="1"),
            await portal.profile.set_preferences(a=1),
            await portal.loyalty.redeem(30, reason="x"),
            requested,
            await portal.jobs.cancel_request(requested.row_id),
        ):
            await write.synced(timeout_s=5)
        assert (portal.loyalty.balance, portal.messages.unread_count) == (70, 0)
        assert portal.customer.preferences == {"a": 1}
        project.faults.write_refusal = (403, "42501", "closed")
        refused = await portal.messages.send("no")
        with pytest.raises(WriteRefusedError):
            await refused.synced()
        assert [message.body for message in portal.messages.where(sender="customer")] == ["hi"]


async def test_lost_answers_lead_to_one_effect() -> None:
    """Effects happen and their answers are lost, again and again: still once each."""
    project = FakeProject()
    jo = project.add_customer()
    project.insert(jo, "loyalty_transactions", entry_no=1, points=100, balance_after=100)
    async with project.portal(jo) as portal:
        await portal.ready()
        project.faults.loses_answers = True
        writes = [
            await portal.messages.send("once"),
            await portal.loyalty.redeem(10, reason="once"),
            await portal.profile.update(phone="once"),
        ]
        await eventually(lambda: len(project.rows(jo, "messages")) == 1)
        await eventually(lambda: len(project.rows(jo, "loyalty_transactions")) == 2)
        await eventually(lambda: project.rows(jo, "customers")[0]["version"] == 2)
        project.faults.loses_answers = False
        for write in writes:
            await write.synced(timeout_s=15)
        assert len(project.rows(jo, "messages")) == 1
        assert len(project.rows(jo, "loyalty_transactions")) == 2
        assert project.rows(jo, "customers")[0]["version"] == 2


async def test_outages_are_told_and_minutes_pass_at_once() -> None:
    """An outage of ten minutes: never live meanwhile, caught up afterwards."""
    project = FakeProject()
    jo = project.add_customer()
    async with manual_clock() as clock, project.portal(jo) as portal:
        await portal.ready()
        project.faults.is_offline = True
        project.cut()
        await clock.advance(600)
        assert portal.status.state in {"offline", "stale"}
        job_id = project.insert(jo, "jobs", title="while away")
        project.faults.is_offline = False
        await clock.advance(60)
        assert portal.status.state == "live"
        assert portal.jobs[job_id].title == "while away"
        project.break_continuity(jo)
        await clock.advance(5)
        assert portal.status.state == "live"
        with pytest.raises(ConfigurationError):
            await clock.advance(-1)


async def test_lost_doorbells_are_found_by_the_verification() -> None:
    """Nobody is rung; the head shows it within the verify interval."""
    project = FakeProject()
    jo = project.add_customer()
    async with manual_clock() as clock, project.portal(jo) as portal:
        await portal.ready()
        project.faults.loses_doorbells = True
        job_id = project.insert(jo, "jobs", title="unheard")
        assert job_id not in portal.jobs
        await clock.advance(31)
        assert job_id in portal.jobs


async def test_rooms_of_a_fake_project_are_refused_at_once() -> None:
    """Bad names as ever; anything else says what is needed instead of waiting for a server."""
    project = FakeProject()
    jo = project.add_customer()
    async with project.portal(jo) as portal:
        await portal.ready()
        for make in (portal.presence, portal.broadcast):
            with pytest.raises(StateError, match="with a real project"):
                make("lobby")
            with pytest.raises(ConfigurationError):
                make("")

    def script() -> None:
        with project.blocking_portal(jo) as plain:
            plain.ready()
            for make in (plain.presence, plain.broadcast):
                with pytest.raises(StateError, match="with a real project"):
                    make("lobby")

    await asyncio.to_thread(script)


async def test_an_unknown_customer_cannot_sign_in() -> None:
    """The fake refuses like Auth does; a refused project is said by ready()."""
    project = FakeProject()
    jo = project.add_customer()
    project.faults.http_status = 503
    async with project.portal(jo) as portal:
        with pytest.raises(ReadyTimeoutError):
            await portal.ready(timeout_s=0.2)
    with pytest.raises(ConfigurationError):
        project.insert(jo, "staff")


async def test_the_fault_proxy_forwards_cuts_refuses_and_holds_back() -> None:
    """Bytes pass; a cut ends connections; silence holds bytes until it is healed."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    target = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with FaultProxy(target) as proxy:
        port = int(proxy.url.rpartition(":")[2])

        async def connect() -> Any:
            return await asyncio.open_connection("127.0.0.1", port)

        reader, writer = await connect()
        writer.write(b"a")
        assert await reader.readexactly(1) == b"a"
        proxy.is_silent = True
        writer.write(b"b")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.readexactly(1), 0.05)
        proxy.heal()
        assert await reader.readexactly(1) == b"b"
        proxy.cut()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        proxy.is_refusing = True
        reader, writer = await connect()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
    server.close()
    await server.wait_closed()
    with pytest.raises(ConfigurationError):
        FaultProxy("https://example.com")


async def test_leaving_the_fault_proxy_with_open_connections_is_quiet() -> None:
    """No traceback of asyncio's, and its address goes on to be where nobody answers."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: complaints.append(what))

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with FaultProxy(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as proxy:
        url = proxy.url
        _reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        await eventually(lambda: len(proxy._writers) == 2)
    await asyncio.sleep(0)
    assert (proxy.url, complaints) == (url, [])
    writer.close()
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)


async def test_a_session_that_was_closed_at_once_is_known_offline(tmp_path: Path) -> None:
    """A script reads and goes; the next one shows its rows without a network all the same."""
    project = FakeProject()
    jo = project.add_customer(name="Jo")
    async with project.portal(jo, store=tmp_path / "p.db") as portal:
        await portal.ready()
    project.faults.is_offline = True
    async with project.portal(jo, store=tmp_path / "p.db") as portal:
        await eventually(lambda: portal.profile.record is not None)
        assert (portal.customer.name, portal.status.state) == ("Jo", "offline")
