"""Local writes: shown at once, in effect exactly once, taken back when refused."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from typing import Any

import pytest

from portal_sdk import (
    ConfigurationError,
    ConflictError,
    InvalidRequestError,
    PermissionDeniedError,
    PortalConfig,
    StateError,
    WriteConflictError,
    WriteDiscardedError,
    WriteRefusedError,
    WriteTimeoutError,
)
from portal_sdk._core.outbox_table import WriteApplied, WriteFailed, WriteRefused
from tests.support.waiting import eventually


async def give_points(account: Any, points: int) -> None:
    await account.database.execute(
        "insert into loyalty_transactions (customer_id, points, kind, reason)"
        " values ($1, $2, 'award', 'welcome')",
        account.customer_id, points,
    )  # fmt: skip


async def bodies(account: Any) -> list[str]:
    rows = await account.database.fetch(
        "select body from messages where customer_id = $1 order by created_at, id",
        account.customer_id,
    )
    return [row["body"] for row in rows]


async def test_a_message_is_shown_at_once_and_synced(account: Any) -> None:
    """send() shows the message before the database has it; synced() means the feed has it."""
    async with account.portal() as portal:
        await portal.ready()
        stream = portal.messages.changes()
        sent = await portal.messages.send("On my way")
        assert portal.messages[sent.row_id].body == "On my way"
        assert portal.messages[sent.row_id].version == 0
        assert portal.status.pending_writes == 1
        await sent.synced(timeout_s=5)
        assert sent.state == "synced"
        record = sent.record
        assert record is not None
        assert (record.sender, record.version, record.sender_name) == ("customer", 1, "Jo")
        first = await asyncio.wait_for(anext(stream), 5)
        second = await asyncio.wait_for(anext(stream), 5)
        assert (first.kind, first.source, first.record.version) == ("insert", "local", 0)
        assert (second.kind, second.record.version) == ("update", 1)
        # The server's word that it replicates makes the portal look once more, perhaps just now.
        assert second.source in {"live", "catch_up"}
        assert second.previous == first.record
        assert len(portal.outbox) == 0
        assert portal.status.pending_writes == 0
    assert await bodies(account) == ["On my way"]


async def test_messages_arrive_in_the_order_of_the_calls(account: Any) -> None:
    """Twenty messages in a row keep their order and arrive once each."""
    async with account.portal() as portal:
        await portal.ready()
        sent = [await portal.messages.send(str(number)) for number in range(20)]
        await asyncio.gather(*(write.synced() for write in sent))
    assert await bodies(account) == [str(number) for number in range(20)]


async def test_a_message_is_marked_as_read_once(account: Any) -> None:
    """The unread count falls at once; the database keeps the first receipt."""
    message_id = await account.database.fetchval(
        "insert into messages (customer_id, body) values ($1, 'Hello') returning id",
        account.customer_id,
    )
    async with account.portal() as portal:
        await portal.ready()
        assert portal.messages.unread_count == 1
        read = await portal.messages.mark_read(message_id)
        assert portal.messages.unread_count == 0
        await read.synced()
        read_at = portal.messages[message_id].read_at
        await (await portal.messages.mark_read(message_id)).synced()
        assert portal.messages[message_id].read_at == read_at
        own = await portal.messages.send("mine")
        with pytest.raises(StateError, match="staff"):
            await portal.messages.mark_read(own.row_id)


async def test_the_profile_is_shown_at_once_and_kept(account: Any) -> None:
    """Two updates and preferences in a row all hold, each on top of the one before."""
    async with account.portal() as portal:
        await portal.ready()
        writes = [
            await portal.profile.update(phone="+49 1", address="Here"),
            await portal.profile.update(phone="+49 2"),
            await portal.profile.set_preferences(theme="dark", news=True),
            await portal.profile.set_preferences(news=None, language="de"),
        ]
        assert portal.customer.phone == "+49 2"
        assert portal.customer.preferences == {"theme": "dark", "language": "de"}
        await asyncio.gather(*(write.synced() for write in writes))
        assert portal.customer.preferences == {"theme": "dark", "language": "de"}
        assert (portal.customer.phone, portal.customer.address) == ("+49 2", "Here")
    row = await account.database.fetchrow(
        "select phone, preferences from customers where id = $1", account.customer_id
    )
    assert row["phone"] == "+49 2"


async def test_points_are_redeemed_and_refused(account: Any) -> None:
    """The balance falls at once; without enough points it comes back, with the reason."""
    await give_points(account, 300)
    async with account.portal() as portal:
        await portal.ready()
        first = await portal.loyalty.redeem(200, reason="Coffee")
        assert portal.loyalty.balance == 100
        second = await portal.loyalty.redeem(150, reason="Too much")
        assert (portal.loyalty.balance, second.record) == (100, None)
        await first.synced()
        with pytest.raises(WriteRefusedError) as caught:
            await second.synced()
        assert isinstance(caught.value.__cause__, InvalidRequestError)
        assert caught.value.__cause__.code == "23514"
        assert portal.loyalty.balance == 100
        assert [write.id for write in portal.outbox.refused] == [second.id]
        assert portal.status.pending_writes == 0
        await give_points(account, 50)
        await eventually(lambda: portal.loyalty.balance == 150)
        portal.outbox.retry(second)
        await second.synced()
        assert portal.loyalty.balance == 0
        assert len(portal.outbox) == 0


@pytest.mark.spec("OUT-15")
async def test_no_balance_below_zero_is_ever_shown(account: Any) -> None:
    """Several redemptions wait; points come and go meanwhile; the database decides on each."""
    await give_points(account, 100)
    balances: list[int] = []
    async with account.portal() as portal:
        await portal.ready()

        @portal.loyalty.on_change
        async def note(_change: Any) -> None:
            balances.append(portal.loyalty.balance)

        account.stack.faults.http_refuse = 503
        writes = {
            reason: await portal.loyalty.redeem(points, reason=reason)
            for reason, points in (("a", 60), ("far too much", 500), ("b", 50), ("c", 40))
        }
        assert portal.loyalty.balance == 0, "a and c, as far as is known"
        assert [reason for reason, write in writes.items() if write.record] == ["a", "c"]
        assert len(portal.outbox) == 4
        await give_points(account, 30)
        account.stack.faults.http_refuse = None
        for reason in ("a", "b"):
            await writes[reason].synced(timeout_s=20)
        for reason in ("far too much", "c"):
            with pytest.raises(WriteRefusedError):
                await writes[reason].synced(timeout_s=20)
        assert portal.loyalty.balance == 20
    assert min(balances) >= 0
    reasons = "select reason from loyalty_transactions where customer_id = $1 and kind = 'redeem'"
    rows = await account.database.fetch(f"{reasons} order by entry_no", account.customer_id)
    assert [row["reason"] for row in rows] == ["a", "b"]


async def test_a_job_is_requested_and_cancelled(account: Any) -> None:
    """A request appears as requested; taking it back is a write of its own."""
    async with account.portal() as portal:
        await portal.ready()
        requested = await portal.jobs.request("Boiler", description="It drips")
        assert portal.jobs[requested.row_id].status == "requested"
        cancelled = await portal.jobs.cancel_request(requested.row_id)
        assert portal.jobs[requested.row_id].status == "cancelled"
        await cancelled.synced()
        assert portal.jobs[requested.row_id].cancelled_at is not None
        with pytest.raises(StateError, match="only a requested one"):
            await portal.jobs.cancel_request(requested.row_id)


async def test_a_cancellation_loses_against_the_schedule(account: Any) -> None:
    """Staff scheduled the job meanwhile: refused, and the schedule is shown."""
    async with account.portal() as portal:
        await portal.ready()
        requested = await portal.jobs.request("Boiler")
        await requested.synced()
        account.stack.faults.http_refuse = 503
        cancelled = await portal.jobs.cancel_request(requested.row_id)
        await account.database.execute(
            "update jobs set status = 'scheduled', scheduled_start = now() where id = $1",
            uuid.UUID(requested.row_id),
        )
        account.stack.faults.http_refuse = None
        with pytest.raises(WriteRefusedError):
            await cancelled.synced()
        await eventually(lambda: portal.jobs[requested.row_id].status == "scheduled")


async def test_another_persons_change_of_the_same_column_is_a_conflict(account: Any) -> None:
    """Other columns merge; the same column asks the user, and retry writes over it."""
    async with account.portal() as portal:
        await portal.ready()
        account.stack.faults.http_refuse = 503
        mine = await portal.profile.update(phone="mine")
        await account.database.execute(
            "update customers set address = 'theirs' where id = $1", account.customer_id
        )
        account.stack.faults.http_refuse = None
        await mine.synced()
        assert (portal.customer.phone, portal.customer.address) == ("mine", "theirs")

        account.stack.faults.http_refuse = 503
        mine = await portal.profile.update(phone="again mine")
        await account.database.execute(
            "update customers set phone = 'theirs' where id = $1", account.customer_id
        )
        account.stack.faults.http_refuse = None
        with pytest.raises(WriteConflictError) as caught:
            await mine.synced()
        assert caught.value.columns == ("phone",)
        await eventually(lambda: portal.customer.phone == "theirs")
        portal.outbox.retry(mine)
        assert portal.customer.phone == "again mine"
        await mine.synced()


@pytest.mark.spec("OUT-14")
async def test_a_repetition_that_is_refused_is_looked_for_first(account: Any) -> None:
    """In effect, answer lost, access lost: unknown. Access back: in effect. Never "refused"."""
    link = "update customers set portal_user_id = $2 where id = $1"
    customer_id, user_id = account.customer_id, account.user_id
    async with account.portal() as portal:
        await portal.ready()
        entry = (await portal.messages.send("once"))._entry
        await eventually(lambda: len(portal.outbox) == 0)
        api, token = portal._desk.runner._api, portal._core.token or ""
        assert api is not None
        portal.pause()
        await account.database.execute(link, customer_id, None)
        outcome = await api.send(entry, token=token, is_repetition=True)
        assert isinstance(outcome, WriteFailed)
        await account.database.execute(link, customer_id, user_id)
        outcome = await api.send(entry, token=token, is_repetition=True)
        assert isinstance(outcome, WriteApplied)
        values = {**entry.write.values, "id": str(uuid.uuid4()), "body": "x" * 10_001}
        write = replace(entry.write, values=values, row_id=values["id"], write_id=str(uuid.uuid4()))
        outcome = await api.send(replace(entry, write=write), token=token, is_repetition=True)
        assert isinstance(outcome, WriteRefused)


async def test_a_refusal_blocks_nothing_and_is_reported(account: Any) -> None:
    """A refused write is parked; writes behind it go on, and the application hears of it."""
    heard: list[Any] = []
    async with account.portal() as portal:
        portal.outbox.on_refused(heard.append)
        await portal.ready()
        refused = await portal.loyalty.redeem(5, reason="no points")
        sent = await portal.messages.send("goes through")
        await sent.synced()
        await eventually(lambda: heard == [refused])
        assert (refused.record, refused.values["reason"]) == (None, "no points")
        portal.outbox.discard(refused)
        assert len(portal.outbox) == 0
        with pytest.raises(WriteDiscardedError):
            await refused.synced()


async def test_a_revoked_permission_rolls_back_with_its_reason(account: Any) -> None:
    """What the policies refuse is taken back: 42501 becomes PermissionDeniedError."""
    async with account.portal() as portal:
        await portal.ready()
        email = portal.customer.email
        await account.database.execute(
            "update customers set portal_user_id = null where id = $1", account.customer_id
        )
        sent = await portal.messages.send("too late")
        with pytest.raises((WriteRefusedError, StateError)) as caught:
            await sent.synced(timeout_s=5)
        if isinstance(caught.value, WriteRefusedError):
            assert isinstance(caught.value.__cause__, PermissionDeniedError)
        assert email is not None
    assert await bodies(account) == []


async def test_offline_writes_wait_and_go_out_in_order(account: Any, quick: PortalConfig) -> None:
    """With everything down, writes are shown and counted; afterwards all take effect once."""
    async with account.portal(config=quick) as portal:
        await portal.ready()
        account.stack.faults.http_refuse = 503
        account.stack.faults.refuse_connects = 503
        account.stack.faults.drop_sockets()
        sent = [await portal.messages.send(str(number)) for number in range(3)]
        phone = await portal.profile.update(phone="+49 9")
        assert portal.status.pending_writes == 4
        with pytest.raises(WriteTimeoutError):
            await phone.synced(timeout_s=0.05)
        account.stack.faults.reset()
        await asyncio.gather(*(write.synced(timeout_s=15) for write in [*sent, phone]))
        await eventually(lambda: portal.status.state == "live", 15)
    assert await bodies(account) == ["0", "1", "2"]


async def test_a_stored_write_outlives_the_portal(
    account: Any, quick: PortalConfig, tmp_path: Any
) -> None:
    """Closed before it was sent, the write is shown by the next portal, and sent."""
    path = tmp_path / "portal.db"
    async with account.portal(store=path, config=quick) as portal:
        await portal.ready()
        portal.pause()
        await eventually(lambda: portal.status.state == "offline")
        sent = await portal.messages.send("later")
    assert await bodies(account) == []
    async with account.portal(store=path, config=quick) as portal:
        await eventually(lambda: sent.row_id in portal.messages)
        await portal.ready()
        await eventually(lambda: len(portal.outbox) == 0)
        assert portal.messages[sent.row_id].version == 1
    assert await bodies(account) == ["later"]


@pytest.mark.spec("OUT-11")
async def test_another_users_writes_are_neither_shown_nor_sent(
    account: Any, new_account: Any, tmp_path: Any
) -> None:
    """The outbox belongs to one user, and waits for them."""
    path = tmp_path / "portal.db"
    async with account.portal(store=path) as portal:
        await portal.ready()
        portal.pause()
        await eventually(lambda: portal.status.state == "offline")
        await portal.messages.send("mine")
    other = await new_account()
    async with other.portal(store=path) as portal:
        await portal.ready()
        assert len(portal.outbox) == len(portal.messages) == 0
    async with account.portal(store=path) as portal:
        await portal.ready()
        await eventually(lambda: len(portal.outbox) == 0)
    assert await bodies(account) == ["mine"]
    assert await bodies(other) == []


async def test_a_paused_portal_sends_nothing_and_may_discard(account: Any) -> None:
    """A write that never left can be given up, and what it showed is taken back."""
    async with account.portal() as portal:
        await portal.ready()
        portal.pause()
        await eventually(lambda: portal.status.state == "offline")
        sent = await portal.messages.send("oops")
        portal.outbox.discard(sent)
        assert sent.row_id not in portal.messages
        portal.resume()
        await portal.ready()
    assert await bodies(account) == []


@pytest.mark.spec("OUT-2")
async def test_a_repeated_row_id_of_someone_else_is_refused(
    account: Any, new_account: Any, monkeypatch: Any
) -> None:
    """A duplicate key counts as our own effect only if the row is ours."""
    other = await new_account()
    taken = await other.add_job("theirs")
    async with account.portal() as portal:
        await portal.ready()
        monkeypatch.setattr("portal_sdk.writable.uuid.uuid4", lambda: taken)
        requested = await portal.jobs.request("mine")
        monkeypatch.undo()
        with pytest.raises(WriteRefusedError) as caught:
            await requested.synced()
        assert isinstance(caught.value.__cause__, ConflictError)
        assert len(portal.jobs) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p.messages.send(""),
        lambda p: p.messages.send("x" * 10_001),
        lambda p: p.messages.send(5),
        lambda p: p.loyalty.redeem(0, reason="x"),
        lambda p: p.loyalty.redeem(True, reason="x"),
        lambda p: p.loyalty.redeem(1, reason=" "),
        lambda p: p.profile.update(),
        lambda p: p.profile.update(branch="x"),
        lambda p: p.profile.update(phone=5),
        lambda p: p.profile.set_preferences(),
        lambda p: p.profile.set_preferences(a=object()),
        lambda p: p.jobs.request(""),
    ],
)
async def test_bad_values_are_refused_before_anything_happens(account: Any, call: Any) -> None:
    """One clear error, nothing shown, nothing kept."""
    async with account.portal() as portal:
        await portal.ready()
        with pytest.raises(ConfigurationError):
            await call(portal)
        assert len(portal.outbox) == 0


async def test_a_write_before_the_customer_is_known_says_so(account: Any) -> None:
    """Before ready, and after close, the error says what to do."""
    async with account.portal() as portal:
        with pytest.raises(StateError, match="ready"):
            await portal.messages.send("too early")
    with pytest.raises(StateError, match="closed"):
        await portal.messages.send("too late")
