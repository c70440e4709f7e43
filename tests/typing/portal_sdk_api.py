"""The types an application sees. Checked by mypy and basedpyright, never run."""

# pyright: strict, reportPrivateUsage=false

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_type
from uuid import UUID

from pydantic import BaseModel

import portal_sdk.blocking
from portal_sdk import (
    Broadcast,
    Change,
    Conflict,
    Customer,
    GroupedView,
    Invoice,
    Job,
    LoyaltyTransaction,
    Member,
    Message,
    PasswordAuth,
    PendingWrite,
    Portal,
    PortalError,
    PresenceChange,
    Stream,
    SyncState,
    SyncStatus,
    TableView,
    ViewStream,
    WriteState,
)
from portal_sdk.metrics import PortalMetrics
from portal_sdk.realtime import Gap, RealtimeClient, TableChange, TableChanges
from portal_sdk.telemetry import observe
from portal_sdk.testing import FakePortal, FakeProject


class Cursor(BaseModel):
    x: int


async def reading(portal: Portal) -> None:
    assert_type(portal.customer, Customer)
    assert_type(portal.jobs["x"], Job)
    assert_type(portal.jobs.get("x"), Job | None)
    assert_type(portal.invoices.where(status="sent"), list[Invoice])
    assert_type(portal.jobs.changes(), Stream[Change[Job]])
    assert_type(portal.messages.unread_count, int)
    assert_type(portal.loyalty.balance, int)
    assert_type(portal.status, SyncStatus)
    assert_type(portal.status.state, SyncState)
    assert_type(portal.status.fresh_as_of, datetime | None)
    assert_type(portal.metrics, PortalMetrics)
    async for change in portal.changes():
        assert_type(change, Change[Any])
    async for job_change in portal.jobs.changes():
        assert_type(job_change.record, Job)
        assert_type(job_change.previous, Job | None)

    @portal.jobs.on_update
    async def moved(job: Job, previous: Job) -> None: ...

    await moved(portal.jobs["x"], portal.jobs["y"])


def viewing(portal: Portal) -> None:
    view = portal.jobs.view(lambda job: job.status == "scheduled", sort_key=lambda job: job.title)
    assert_type(view, TableView[Job])
    assert_type(view[0], Job)
    assert_type(view[1:], list[Job])
    assert_type(view.changes(), ViewStream[Job])
    groups = portal.jobs.group_by(lambda job: job.status)
    assert_type(groups, GroupedView[str, Job])
    assert_type(groups["scheduled"], list[Job])

    @portal.outbox.on_conflict
    def merge(conflict: Conflict) -> Mapping[str, Any]:
        return conflict.mine

    assert_type(merge(Conflict("customers", "x", {}, {}, {})), Mapping[str, Any])
    observe(portal)


async def writing(portal: Portal) -> None:
    assert_type(await portal.messages.send("hi"), PendingWrite[Message])
    assert_type(await portal.messages.mark_read("x"), PendingWrite[Message])
    assert_type(await portal.profile.update(phone="1"), PendingWrite[Customer])
    assert_type(await portal.profile.set_preferences(theme="dark"), PendingWrite[Customer])
    assert_type(await portal.loyalty.redeem(1, reason="x"), PendingWrite[LoyaltyTransaction])
    sent = await portal.jobs.request("Boiler")
    assert_type(sent, PendingWrite[Job])
    assert_type(sent.record, Job | None)
    assert_type(sent.state, WriteState)
    assert_type(sent.error, PortalError | None)
    assert_type(portal.outbox.refused, list[PendingWrite[Any]])


async def meeting(portal: Portal) -> None:
    async with portal.presence("lobby", {"name": "Jo"}) as room:
        assert_type(room.members, dict[str, Member])
        assert_type(room.changes(), Stream[PresenceChange])
    async with portal.broadcast("lobby") as channel:
        assert_type(channel.events("note"), Stream[Broadcast[dict[str, Any]]])
        assert_type(channel.events("cursor", Cursor), Stream[Broadcast[Cursor]])
        assert_type(channel.typing().keys, frozenset[str])


async def plain() -> None:
    auth = PasswordAuth("a@example.com", "x")
    async with RealtimeClient("http://127.0.0.1:1", "k", auth=auth) as client:
        changes = client.table_changes(Job, "UPDATE")
        assert_type(changes, TableChanges[Job])
        async for item in changes:
            assert_type(item, TableChange[Job] | Gap)
        assert_type(await client.read(Cursor, table="cursors"), list[Cursor])


def blocking() -> None:
    auth = PasswordAuth("a@example.com", "x")
    with portal_sdk.blocking.Portal("http://127.0.0.1:1", "k", auth=auth) as portal:
        assert_type(portal.jobs["x"], Job)
        assert_type(portal.jobs.view(limit=3)[0], Job)
        assert_type(portal.jobs.group_by(lambda job: job.id)[UUID(int=1)], list[Job])
        assert_type(portal.customer, Customer)
        assert_type(portal.messages.send("hi"), portal_sdk.blocking.PendingWrite[Message])
        for change in portal.jobs.changes():
            assert_type(change, Change[Job])


def fakes() -> None:
    project = FakeProject()
    assert_type(project.portal(project.add_customer()), FakePortal)
