"""The plain layer with a staff token: all customers' changes, at most once, with gaps told."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import asyncpg
import pytest
from pydantic import BaseModel

from portal_sdk import (
    ConfigurationError,
    Job,
    JoinRejectedError,
    PasswordAuth,
    PortalConfig,
    PortalError,
    SignInRefusedError,
    realtime,
)
from portal_sdk.realtime import Gap, RealtimeClient, TableChange
from tests.support.waiting import eventually

AGENT = PasswordAuth("agent@crm.example", "portal-demo")


def staff(account: Any, config: PortalConfig | None = None) -> RealtimeClient:
    stack = account.stack
    return RealtimeClient(stack.api_url, stack.keys.publishable, auth=AGENT, config=config)


async def test_staff_see_every_customers_changes(account: Any, new_account: Any) -> None:
    """One stream, two customers; the first item says that nothing before it was heard."""
    other = await new_account()
    async with staff(account) as client, client.table_changes(Job) as changes:
        assert await anext(changes) == Gap("started")
        wanted = {await account.add_job("mine"), await other.add_job("theirs")}
        seen: dict[uuid.UUID, Job] = {}
        while set(seen) < wanted:
            change = await asyncio.wait_for(anext(changes), 10)
            assert isinstance(change, TableChange)
            if change.record is not None and change.record.id in wanted:
                seen[change.record.id] = change.record
        assert {job.customer_id for job in seen.values()} == {
            account.customer_id,
            other.customer_id,
        }


async def test_events_and_filters_are_the_servers(account: Any) -> None:
    """Only updates of one customer; typed by a model of one's own."""

    class Title(BaseModel):
        id: uuid.UUID
        title: str

    rows = f"customer_id=eq.{account.customer_id}"
    async with (
        staff(account) as client,
        client.table_changes(Title, "UPDATE", rows, table="jobs") as changes,
    ):
        assert await anext(changes) == Gap("started")
        job_id = await account.add_job("a")
        await account.rename_job(job_id, "b")
        change = await asyncio.wait_for(anext(changes), 10)
        assert isinstance(change, TableChange)
        assert (change.kind, change.record) == ("update", Title(id=job_id, title="b"))
        assert change.old == {"id": str(job_id)}
        assert change.committed_at is not None


async def test_a_live_view_with_refetch_after_every_gap_stays_right(
    account: Any, quick: PortalConfig
) -> None:
    """What is lost while the sockets are cut is read again, because the gap says so."""
    view: dict[str, str] = {}
    async with staff(account, quick) as client, client.table_changes(Job) as changes:

        async def refetch() -> None:
            jobs = await client.read(Job, f"customer_id=eq.{account.customer_id}")
            view.clear()
            view.update({str(job.id): job.title for job in jobs})

        async def follow() -> None:
            async for item in changes:
                if isinstance(item, Gap):
                    await refetch()
                elif item.record is not None and item.record.customer_id == account.customer_id:
                    view[str(item.record.id)] = item.record.title

        follower = asyncio.create_task(follow())
        try:
            await account.add_job("0")
            account.stack.faults.refuse_connects = 503
            account.stack.faults.drop_sockets()
            await eventually(lambda: not changes.is_joined)
            await account.add_job("1")  # nobody hears this one
            account.stack.faults.refuse_connects = None
            await eventually(lambda: changes.is_joined, 15)
            await account.add_job("2")

            async def is_right() -> bool:
                return view == await account.titles()

            await eventually(is_right)
            assert sorted(view.values()) == ["0", "1", "2"]
        finally:
            follower.cancel()
            await asyncio.wait([follower])


async def test_staff_meet_a_customer_in_a_room(account: Any) -> None:
    """The same rooms on the same topic: staff and the customer see each other."""
    topic = f"{account.scope}:lobby"
    async with account.portal() as portal, staff(account) as client:
        await portal.ready()
        async with (
            portal.presence("lobby", {"name": "Jo"}) as mine,
            client.presence(topic, {"name": "Agent"}),
        ):
            await eventually(lambda: len(mine.members) == 2)
            names = {member.meta["name"] for member in mine.members.values()}
            assert names == {"Jo", "Agent"}


async def test_bad_input_is_said_clearly(account: Any, owner: asyncpg.Connection[Any]) -> None:
    """Unknown events and tables, and a refused sign-in."""
    del owner
    stack = account.stack
    wrong = PasswordAuth("agent@crm.example", "wrong")
    with pytest.raises(SignInRefusedError):
        async with RealtimeClient(stack.api_url, stack.keys.publishable, auth=wrong):
            pass
    client = staff(account)
    with pytest.raises(RuntimeError, match="Enter the client first"):
        client.table_changes(Job)
    async with client:
        with pytest.raises(ConfigurationError, match="event must be"):
            client.table_changes(Job, "TRUNCATE")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="Name the table"):
            client.table_changes(BaseModel)


@pytest.mark.parametrize(
    ("table", "rows"), [("jobs", "no_such_column=eq.1"), ("leads", "customer_id=eq.x")]
)
async def test_what_cannot_be_followed_is_said_while_entering(
    account: Any, table: str, rows: str
) -> None:
    """Not after the whole time-out for joining: a column that is missing does not come."""
    async with staff(account) as client, asyncio.timeout(10):
        with pytest.raises(JoinRejectedError, match="given parameters"):
            async with client.table_changes(Job, "*", rows, table=table):
                pass


async def test_reading_gives_every_row_in_pages(account: Any, monkeypatch: Any) -> None:
    """Three pages of two; a filter; and what cannot be right is said."""
    monkeypatch.setattr(realtime, "PAGE_ROWS", 2)
    wanted = {await account.add_job(str(number)) for number in range(5)}
    mine = f"customer_id=eq.{account.customer_id}"
    async with staff(account) as client:
        assert {job.id for job in await client.read(Job, mine)} == wanted
        (first, *_) = wanted
        assert [job.id for job in await client.read(Job, f"id=eq.{first}")] == [first]
        with pytest.raises(ConfigurationError, match="A filter looks like"):
            await client.read(Job, "customer_id")
        with pytest.raises(PortalError, match="no_such_table"):
            await client.read(Job, table="no_such_table")
