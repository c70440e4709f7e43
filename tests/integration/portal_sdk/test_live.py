"""A portal against the real stack: signs in, shows, follows, reconnects, and tells the truth."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from portal_sdk import (
    ApiKeyRejectedError,
    NoCustomerError,
    PasswordAuth,
    Portal,
    PortalConfig,
    ProtocolError,
    ReadyTimeoutError,
    SignInRefusedError,
    TokenAuth,
    TokenExpiredError,
    TokenRejectedError,
)
from portal_sdk._runtime.jwt import read_claims
from tests.support.waiting import eventually


def titles(portal: Portal) -> dict[str, str]:
    return {str(job.id): job.title for job in portal.jobs}


async def test_sign_in_shows_the_customers_rows(account: Any, new_account: Any) -> None:
    """After ready the tables hold this customer's rows and nobody else's."""
    other = await new_account()
    await other.add_job("Not yours")
    job_id = await account.add_job("Yours")
    async with account.portal() as portal:
        await portal.ready()
        assert titles(portal) == {str(job_id): "Yours"}
        assert portal.customer.id == account.customer_id
        assert portal.status.state == "live"
        assert portal.status.doorbell == "broadcast"
        assert portal.status.fresh_as_of is not None


async def test_a_commit_reaches_streams_and_callbacks_once_and_in_order(account: Any) -> None:
    """Insert, update and soft delete arrive once each, with the previous row."""
    calls: list[Any] = []
    async with account.portal() as portal:
        portal.jobs.on_insert(lambda job: calls.append(("insert", job.title)))
        portal.jobs.on_update(lambda job, old: calls.append(("update", old.title, job.title)))
        portal.jobs.on_delete(lambda job: calls.append(("delete", job.title)))
        await portal.ready()
        stream = portal.changes()
        job_id = await account.add_job("a")
        changes = [await asyncio.wait_for(anext(stream), 5)]
        await account.rename_job(job_id, "b")
        changes.append(await asyncio.wait_for(anext(stream), 5))
        # Deleted before the portal read it, a row's earlier entries would be blank: no change.
        await account.database.execute("update jobs set deleted_at = now() where id = $1", job_id)
        changes.append(await asyncio.wait_for(anext(stream), 5))
        assert [change.kind for change in changes] == ["insert", "update", "delete"]
        assert [change.source for change in changes[1:]] == ["live", "live"]
        assert changes[1].n == changes[0].n + 1
        assert changes[0].committed_at is not None
        await eventually(lambda: len(calls) == 3)
        assert calls == [("insert", "a"), ("update", "a", "b"), ("delete", "b")]
        assert job_id not in portal.jobs


async def test_a_cut_socket_loses_nothing(account: Any) -> None:
    """What is committed while every socket is cut arrives as catch-up, once."""
    job_id = await account.add_job("0")
    async with account.portal() as portal:
        await portal.ready()
        stream = portal.jobs.changes()
        seen = []
        for number in range(1, 21):
            if number % 5 == 0:
                account.stack.faults.drop_sockets()
            await account.rename_job(job_id, str(number))
        while not seen or seen[-1].record.title != "20":
            seen.append(await asyncio.wait_for(anext(stream), 10))
        assert [change.record.title for change in seen] == [str(n) for n in range(1, 21)]
        await eventually(lambda: portal.status.state == "live")


async def test_a_refused_socket_falls_back_to_polling_and_returns(
    account: Any, quick: PortalConfig
) -> None:
    """Without Realtime the portal polls and says so; with it again, it joins by itself."""
    job_id = await account.add_job("a")
    async with account.portal(config=quick) as portal:
        await portal.ready()
        account.stack.faults.refuse_connects = 503
        account.stack.faults.drop_sockets()
        await eventually(lambda: portal.status.doorbell == "polling")
        await account.rename_job(job_id, "b")
        await eventually(lambda: portal.jobs[job_id].title == "b")
        await eventually(lambda: portal.status.state == "live")
        account.stack.faults.refuse_connects = None
        await eventually(lambda: portal.status.doorbell == "broadcast", 15)
        await eventually(lambda: portal.status.state == "live")


async def test_lost_doorbells_are_found_by_the_verification(
    account: Any, quick: PortalConfig
) -> None:
    """A deaf doorbell is noticed, what it missed is read, and the socket is opened anew."""
    job_id = await account.add_job("a")
    async with account.portal(config=quick) as portal:
        await portal.ready()
        account.stack.faults.lose_doorbells = True
        generation = portal._core.connection.generation
        # The read that the join ordered may still be on its way: several renames outlast it.
        for title in "bcd":
            await account.rename_job(job_id, title)
            await eventually(lambda wanted=title: portal.jobs[job_id].title == wanted)
        await eventually(lambda: portal._core.connection.generation > generation)


async def test_a_hung_server_ends_live_in_time(account: Any, quick: PortalConfig) -> None:
    """Sockets and HTTP stay open but nothing answers: the portal does not call itself live."""
    async with account.portal(config=quick) as portal:
        await portal.ready()
        account.stack.faults.hang = account.stack.faults.http_hang = True
        await eventually(lambda: portal.status.state in {"stale", "offline"}, 5)
        account.stack.faults.reset()
        await eventually(lambda: portal.status.state == "live", 20)


async def test_rows_that_vanish_without_a_trigger_are_found(
    account: Any, quick: PortalConfig
) -> None:
    """The digest notices what no feed entry tells of, and only real changes are reported."""
    keep, lose = await account.add_job("keep"), await account.add_job("lose")
    async with account.portal(config=quick) as portal:
        await portal.ready()
        stream = portal.changes()
        async with account.database.transaction():
            await account.database.execute("alter table jobs disable trigger user")
            await account.database.execute("delete from jobs where id = $1", lose)
            await account.database.execute("alter table jobs enable trigger user")
        change = await asyncio.wait_for(anext(stream), 10)
        assert (change.kind, change.record.id, change.source) == ("delete", lose, "resync")
        assert titles(portal) == {str(keep): "keep"}


async def test_two_devices_of_one_customer_see_the_same(account: Any) -> None:
    """Two portals of one account follow independently."""
    async with account.portal() as phone, account.portal() as laptop:
        await asyncio.gather(phone.ready(), laptop.ready())
        await account.add_job("a")
        await eventually(lambda: len(phone.jobs) == len(laptop.jobs) == 1)
        assert titles(phone) == titles(laptop)


async def test_a_callback_that_raises_harms_only_itself(account: Any) -> None:
    """Other callbacks, streams and later changes are not affected."""
    seen: list[str] = []

    async def bad(_job: Any) -> None:
        raise RuntimeError("from the application")

    async with account.portal() as portal:
        portal.jobs.on_insert(bad)
        portal.jobs.on_insert(lambda job: seen.append(job.title))
        await portal.ready()
        await account.add_job("a")
        await account.add_job("b")
        await eventually(lambda: seen == ["a", "b"])
        assert portal.status.state == "live"


async def test_pause_closes_and_resume_catches_up(account: Any) -> None:
    """Paused is offline; what happened meanwhile arrives after resume."""
    async with account.portal() as portal:
        await portal.ready()
        portal.pause()
        await eventually(lambda: portal.status.state == "offline")
        job_id = await account.add_job("while away")
        portal.resume()
        await portal.ready()
        assert portal.jobs[job_id].title == "while away"


async def test_a_stored_portal_resumes_from_its_cursor(account: Any, tmp_path: Any) -> None:
    """The second run reads only what it missed, and reports it against the stored rows."""
    job_id = await account.add_job("a")
    path = tmp_path / "portal.db"
    async with account.portal(store=path) as portal:
        await portal.ready()
    await account.rename_job(job_id, "b")
    async with account.portal(store=path) as portal:
        stream = portal.changes()
        await portal.ready()
        change = await asyncio.wait_for(anext(stream), 5)
        assert (change.source, change.previous.title, change.record.title) == ("catch_up", "a", "b")


async def test_another_user_never_sees_the_stored_rows(
    account: Any, new_account: Any, tmp_path: Any
) -> None:
    """The file belongs to one user; another one starts with an empty store."""
    await account.add_job("private")
    path = tmp_path / "portal.db"
    async with account.portal(store=path) as portal:
        await portal.ready()
    other = await new_account()
    async with other.portal(store=path) as portal:
        await portal.ready()
        assert len(portal.jobs) == 0
    assert b"private" not in path.read_bytes()


async def test_an_unlinked_customer_loses_the_rows_at_once(
    account: Any, quick: PortalConfig
) -> None:
    """When staff unlink the account, the rows are taken back and the status says why."""
    await account.add_job("a")
    async with account.portal(config=quick) as portal:
        await portal.ready()
        await account.database.execute(
            "update customers set portal_user_id = null where id = $1", account.customer_id
        )
        await eventually(lambda: portal.status.state == "needs_auth", 10)
        assert len(portal.jobs) == 0
        assert isinstance(portal.status.last_error, NoCustomerError)


async def test_a_token_callable_signs_in(account: Any) -> None:
    """TokenAuth with an async callable works like a password."""
    source = PasswordAuth(account.email, "portal-demo").token_source()

    async with account.portal() as first:
        await first.ready()

        async def current() -> str:
            return (await source.fetch(first._driver._http, renew=False)).token  # type: ignore[union-attr]

        async with account.portal(auth=TokenAuth(current)) as portal:
            await portal.ready()
            assert read_claims(await current()).user_id == account.user_id


# Bad input.


async def test_a_wrong_password_is_refused_clearly(account: Any) -> None:
    """ready() raises at once and the status stays needs_auth."""
    async with account.portal(auth=PasswordAuth(account.email, "wrong")) as portal:
        with pytest.raises(SignInRefusedError, match="check e-mail and password"):
            await portal.ready()
        assert portal.status.state == "needs_auth"


async def test_a_wrong_key_is_refused_clearly(account: Any) -> None:
    """The message names the key to use."""
    auth = PasswordAuth(account.email, "portal-demo")
    async with Portal(account.stack.api_url, "sb_publishable_wrong", auth=auth) as portal:
        with pytest.raises(ApiKeyRejectedError, match="publishable"):
            await portal.ready()


async def test_an_expired_token_is_refused_clearly(account: Any) -> None:
    """A fixed token that ended cannot be renewed; the message says what to do."""
    expired = (
        "eyJhbGciOiJIUzI1NiJ9."
        "eyJzdWIiOiJiMDAwIiwiZXhwIjoxNzAwMDAwMDAwLCJyb2xlIjoiYXV0aGVudGljYXRlZCJ9.x"
    )
    async with account.portal(auth=TokenAuth(expired)) as portal:
        with pytest.raises(TokenExpiredError, match="sign in again"):
            await portal.ready()


async def test_a_malformed_token_is_refused_clearly(account: Any) -> None:
    """An API key, or any other text, is not an access token."""
    async with account.portal(auth=TokenAuth("not-a-token")) as portal:
        with pytest.raises(TokenRejectedError, match="signed-in user"):
            await portal.ready()


async def test_a_stack_that_is_not_running_is_said_clearly(account: Any) -> None:
    """The portal keeps trying; ready() says after its timeout what stands in the way."""
    auth = PasswordAuth(account.email, "portal-demo")
    async with Portal("http://127.0.0.1:9", account.stack.keys.publishable, auth=auth) as portal:
        with pytest.raises(ReadyTimeoutError, match="is it running"):
            await portal.ready(timeout_s=0.5)
        assert portal.status.state == "offline"


async def test_a_wrong_url_is_said_clearly(account: Any) -> None:
    """A server that is no Supabase project is recognised."""
    auth = PasswordAuth(account.email, "portal-demo")
    url = f"{account.stack.api_url}/elsewhere"
    async with Portal(url, account.stack.keys.publishable, auth=auth) as portal:
        with pytest.raises(ReadyTimeoutError, match="check the project URL") as caught:
            await portal.ready(timeout_s=1)
        assert isinstance(caught.value.__cause__, ProtocolError)
