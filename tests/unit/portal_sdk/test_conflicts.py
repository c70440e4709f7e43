"""An edit that collides with somebody else's becomes what the application makes of it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from portal_sdk import ConfigurationError, Conflict, PendingWrite, Portal, WriteConflictError
from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually

Collide = Callable[[], Any]


@pytest.fixture
async def office() -> AsyncIterator[tuple[FakeProject, Portal, Collide]]:
    project = FakeProject()
    jo = project.add_customer(phone="0", address="0")
    async with project.portal(jo) as portal:
        await portal.ready()

        async def collide() -> PendingWrite[Any]:
            """Edit phone and address offline, while staff edit the phone."""
            project.faults.is_offline = True
            project.cut()
            await eventually(lambda: portal.status.state != "live")
            mine = await portal.profile.update(phone="mine", address="mine")
            project.update(jo, "customers", jo.id, phone="theirs")
            project.faults.is_offline = False
            return mine

        yield project, portal, collide


def columns(portal: Portal) -> tuple[str | None, str | None]:
    return portal.customer.phone, portal.customer.address


async def test_a_plain_function_merges_in_a_thread_of_its_own(office: Any) -> None:
    _project, portal, collide = office
    asked: list[tuple[Conflict, str]] = []

    @portal.outbox.on_conflict
    def merge(conflict: Conflict) -> dict[str, Any]:
        asked.append((conflict, threading.current_thread().name))
        return {"phone": f"{conflict.mine['phone']} or {conflict.theirs['phone']}"}

    await (await collide()).synced(timeout_s=30)
    assert columns(portal) == ("mine or theirs", "mine")
    conflict, thread = asked[0]
    assert (conflict.base, conflict.mine, conflict.theirs) == (
        {"phone": "0"}, {"phone": "mine"}, {"phone": "theirs"},
    )  # fmt: skip
    assert thread != threading.main_thread().name
    assert "theirs" not in repr(conflict)
    assert not portal.outbox.refused


async def test_an_async_function_may_leave_theirs(office: Any) -> None:
    _project, portal, collide = office

    @portal.outbox.on_conflict
    async def theirs(_conflict: Conflict) -> dict[str, Any]:
        return {}

    await (await collide()).synced(timeout_s=30)
    assert columns(portal) == ("theirs", "mine")


def _none(_conflict: Conflict) -> None:
    return None


def _raise(_conflict: Conflict) -> None:
    raise ZeroDivisionError


def _odd(_conflict: Conflict) -> Any:
    return {"name": "another column"}


@pytest.mark.parametrize("resolver", [None, _none, _raise, _odd])
async def test_without_a_decision_the_write_is_refused(office: Any, resolver: Any) -> None:
    """No function, none given, a failing one, or values for other columns."""
    _project, portal, collide = office
    if resolver is not None:
        portal.outbox.on_conflict(resolver)
    with pytest.raises(WriteConflictError) as caught:
        await (await collide()).synced(timeout_s=30)
    assert caught.value.columns == ("phone",)
    await eventually(lambda: columns(portal) == ("theirs", "0"))


async def test_what_is_no_function_is_refused(office: Any) -> None:
    with pytest.raises(ConfigurationError, match="must be a function"):
        office[1].outbox.on_conflict("mine")
