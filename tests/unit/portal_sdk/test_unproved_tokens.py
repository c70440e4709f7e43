"""A token that no server has accepted yet: it shows nobody else's rows, and destroys nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from portal_sdk import PasswordAuth, StateError, StoreError, TokenAuth
from portal_sdk._core import effects as do
from portal_sdk._core.replica import Commit
from portal_sdk._runtime import tokens
from portal_sdk._runtime.store_keeper import StoreKeeper
from portal_sdk._store import SqliteStore
from portal_sdk._store import sqlite as sqlite_store
from portal_sdk.testing import FakeProject
from portal_sdk.testing.portal import FAKE_KEY, FAKE_URL, FakePortal
from portal_sdk.testing.project import FakeCustomer
from tests.support.waiting import eventually
from tests.unit.portal_sdk.test_tokens import jwt

PROJECT = "http://project"


class Home:
    """Ann's store file, filled while she was signed in; Bob is another customer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.project = FakeProject()
        self.ann = self.project.add_customer("ann@example.com", name="Ann")
        self.bob = self.project.add_customer("bob@example.com", name="Bob")
        self.job_id = self.project.insert(self.ann, "jobs", title="of Ann")
        self.project.insert(self.bob, "jobs", title="of Bob")

    def portal(self, auth: Any) -> FakePortal:
        portal = FakePortal(FAKE_URL, FAKE_KEY, auth=auth, store=self.path)
        portal.network = self.project
        return portal

    async def fill(self) -> None:
        """Ann signs in, then writes without a network and leaves."""
        async with self.portal(password(self.ann)) as portal:
            await portal.ready()
            self.project.faults.is_offline = True
            self.project.cut()
            await portal.messages.send("unsent")


def password(customer: FakeCustomer) -> PasswordAuth:
    return PasswordAuth(customer.email, "any")


def token(customer: FakeCustomer) -> TokenAuth:
    return TokenAuth(jwt(sub=customer.user_id))


def seen(portal: FakePortal) -> tuple[list[str], list[str]]:
    return [job.title for job in portal.jobs], [message.body for message in portal.messages]


@pytest.fixture(params=[False, True], ids=["small", "large"])
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: Any) -> Home:
    """A large store is read in a thread."""
    monkeypatch.setattr(tokens._PasswordSession, "prove", _prove)
    if request.param:
        monkeypatch.setattr(sqlite_store, "LARGE_BYTES", 1)
    home = Home(tmp_path / "portal.db")
    await home.fill()
    return home


def _prove(session: Any, salt: bytes) -> bytes:
    return session._auth.email.encode() + salt


async def offline(portal: FakePortal) -> None:
    await eventually(lambda: portal.status.state == "offline")


@pytest.mark.spec("SYNC-24")
async def test_without_a_network_another_users_token_shows_nothing_and_leaves_the_store(
    home: Home,
) -> None:
    for _ in range(2):
        async with home.portal(token(home.bob)) as portal:
            await offline(portal)
            assert seen(portal) == ([], [])
            assert len(portal.outbox) == 0
            with pytest.raises(StateError, match="not known yet"):
                await portal.messages.send("whose?")
    async with home.portal(token(home.ann)) as portal:
        await offline(portal)
        assert seen(portal) == (["of Ann"], ["unsent"])
        assert portal.status.fresh_as_of is not None
    async with home.portal(password(home.ann)) as portal:
        await offline(portal)
        await eventually(lambda: seen(portal) == (["of Ann"], ["unsent"]))
        home.project.faults.is_offline = False
        await portal.ready()
        await eventually(lambda: len(portal.outbox) == 0)
        assert len(home.project.rows(home.ann, "messages")) == 1


@pytest.mark.spec("SYNC-24")
async def test_a_token_that_the_server_rejects_leaves_the_store(home: Home) -> None:
    home.project.faults.is_offline = False
    stranger = TokenAuth(jwt(sub="nobody-the-server-knows"))
    async with home.portal(stranger) as portal:
        await eventually(lambda: portal.status.state == "needs_auth")
        assert seen(portal) == ([], [])
    home.project.faults.is_offline = True
    async with home.portal(token(home.ann)) as portal:
        await offline(portal)
        assert seen(portal) == (["of Ann"], ["unsent"])


@pytest.mark.spec("SYNC-24")
@pytest.mark.parametrize("sign_in", [token, password])
async def test_the_store_passes_on_with_the_first_rows_and_unsent_writes_stay(
    home: Home, sign_in: Any
) -> None:
    home.project.faults.is_offline = False
    async with home.portal(sign_in(home.bob)) as portal:
        await portal.ready()
        assert seen(portal) == (["of Bob"], [])
    assert b"of Ann" not in home.path.read_bytes()
    home.project.faults.is_offline = True
    async with home.portal(password(home.ann)) as portal:
        await offline(portal)
        assert seen(portal) == ([], []), "the login of before is forgotten"
    async with home.portal(sign_in(home.bob)) as portal:
        await offline(portal)
        await eventually(lambda: seen(portal) == (["of Bob"], []))
    home.project.faults.is_offline = False
    async with home.portal(token(home.ann)) as portal:
        await portal.ready()
        await eventually(lambda: len(portal.outbox) == 0)
        assert [row["body"] for row in home.project.rows(home.ann, "messages")] == ["unsent"]


@pytest.mark.spec("SYNC-21")
async def test_a_password_is_remembered_also_for_rows_that_were_there(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file was filled with tokens, or with a password that has changed."""
    monkeypatch.setattr(tokens._PasswordSession, "prove", lambda _self, salt: b"new" + salt)
    async with home.portal(password(home.ann)) as portal:
        await offline(portal)
        assert seen(portal) == ([], [])
    home.project.faults.is_offline = False
    async with home.portal(password(home.ann)) as portal:
        await portal.ready()
    home.project.faults.is_offline = True
    async with home.portal(password(home.ann)) as portal:
        await eventually(lambda: seen(portal)[0] == ["of Ann"])


@pytest.mark.spec("SYNC-24")
async def test_a_callable_that_names_another_user_takes_the_rows_back_and_they_return(
    home: Home,
) -> None:
    """A mistake of the application, while there is no network to notice it."""
    current = home.ann
    home.project.faults.is_offline = False
    auth = TokenAuth(lambda: jwt(sub=current.user_id))
    async with home.portal(auth) as portal:
        await portal.ready()
        home.project.update(home.ann, "jobs", home.job_id, title="moved")
        await eventually(lambda: portal.jobs[home.job_id].title == "moved")
        changes = portal.jobs.changes()
        home.project.faults.is_offline = True
        home.project.cut()
        for customer, titles in ((home.bob, []), (home.ann, ["moved"])):
            current = customer
            portal.pause()
            portal.resume()
            await eventually(lambda wanted=titles: seen(portal)[0] == wanted)
        told = [await asyncio.wait_for(anext(changes), 5) for _ in range(2)]
        assert [(c.kind, c.record.title, c.source) for c in told] == [
            ("delete", "moved", "resync"), ("insert", "moved", "resync"),
        ]  # fmt: skip
        await offline(portal)
        home.project.update(home.ann, "jobs", home.job_id, title="again")
        home.project.faults.is_offline = False
        await portal.ready()
        change = await asyncio.wait_for(anext(changes), 5)
        assert (change.kind, change.previous.title, change.record.title) == (
            "update", "moved", "again",
        )  # fmt: skip


class Keeping:
    """A keeper whose tasks run when the test says so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown: Commit | None = None
        self.work: list[Any] = []
        self.keeper = StoreKeeper(
            SqliteStore(path), PROJECT, password_source(), post=lambda _event: None,
            start=lambda coroutine, _name: self.work.append(coroutine),
            everything=lambda: self.shown, progressed=lambda: None,
        )  # fmt: skip

    def sign_in(self, user_id: str) -> None:
        self.keeper.open(do.OpenStore(user_id))

    def commit(self, commit: Commit) -> None:
        self.keeper.commit(do.CommitRows(commit))

    async def close(self) -> None:
        await self.keeper.close()
        for rest in self.work:
            rest.close()

    def found(self, user_id: str) -> int:
        """The position of this user's rows in the file."""
        store = SqliteStore(self.path)
        n = store.open(PROJECT, user_id).n
        store.close()
        return n


def rows_of(user_id: str, n: int) -> Commit:
    rows = {"jobs": {"j": {"id": "j", "version": 1}}}
    return Commit(f"customer:{user_id}", "e", n, everything=rows)


def password_source() -> Any:
    return PasswordAuth("any", "any").token_source()


@pytest.mark.spec("SYNC-24")
async def test_rows_of_before_are_not_written_for_whoever_signs_in_during_a_rewrite(
    tmp_path: Path,
) -> None:
    """A store that had failed is written anew, in threads, when the user changes."""
    keeping = Keeping(tmp_path / "p.db")
    keeping.sign_in("ann")
    keeping.commit(rows_of("ann", 2))
    keeping.keeper._must_rewrite = True  # as after a full disk
    keeping.shown = rows_of("ann", 3)
    keeping.commit(Commit("customer:ann", "e", 3))
    keeping.sign_in("bob")
    await keeping.work.pop()
    await keeping.close()
    assert (keeping.found("ann"), keeping.found("bob")) == (2, 0)


@pytest.mark.spec("SYNC-24")
async def test_whoever_has_no_access_takes_nothing_from_the_store_of_another(
    tmp_path: Path,
) -> None:
    keeping = Keeping(tmp_path / "p.db")
    keeping.sign_in("ann")
    keeping.commit(rows_of("ann", 2))
    keeping.sign_in("bob")
    keeping.keeper.purge(do.PurgeStore())
    await keeping.close()
    assert keeping.found("ann") == 2


@pytest.mark.spec("SYNC-24")
@pytest.mark.parametrize("then", [["bob"], ["bob", "ann"]])
async def test_a_login_is_not_remembered_for_the_rows_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, then: list[str]
) -> None:
    """The proof takes a while, and somebody else's rows may be there when it is ready."""
    monkeypatch.setattr(tokens._PasswordSession, "prove", _prove)
    keeping = Keeping(tmp_path / "p.db")
    keeping.sign_in("ann")
    keeping.commit(rows_of("ann", 2))
    (proving,) = keeping.work
    keeping.sign_in("bob")
    keeping.commit(rows_of("bob", 5))
    for user_id in then[1:]:
        keeping.sign_in(user_id)
    await proving
    assert keeping.keeper._store.salt(PROJECT) is None
    keeping.work.remove(proving)
    await keeping.close()
    assert keeping.found("bob") == 5


@pytest.mark.spec("SYNC-24")
async def test_a_store_that_was_read_for_somebody_before_does_not_count_as_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one is read in a thread, and is ready after somebody else has signed in."""
    keeping = Keeping(tmp_path / "p.db")
    keeping.sign_in("ann")
    keeping.commit(rows_of("ann", 2))
    keeping.work.pop().close()
    monkeypatch.setattr(sqlite_store, "LARGE_BYTES", 1)
    keeping.sign_in("ann")
    keeping.sign_in("bob")
    for reading in reversed(list(keeping.work)):
        await reading
    keeping.commit(rows_of("bob", 5))
    await keeping.close()
    assert (keeping.found("ann"), keeping.found("bob")) == (0, 5)


@pytest.mark.spec("SYNC-24")
@pytest.mark.parametrize("what", ["everything", "a change"])
async def test_a_store_that_cannot_change_hands_keeps_the_rows_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The disk is full: never rows of one user under the name of another."""
    keeping = Keeping(tmp_path / "p.db")
    keeping.sign_in("ann")
    keeping.commit(rows_of("ann", 2))
    keeping.sign_in("bob")

    def full(_store: SqliteStore, _project: str, _user_id: str) -> None:
        raise StoreError("full")

    with monkeypatch.context() as disk:
        disk.setattr(SqliteStore, "claim", full)
        keeping.commit(rows_of("bob", 5))
        assert isinstance(keeping.keeper.error, StoreError)
        assert not keeping.keeper._must_purge
    keeping.keeper._retry_at = 0.0
    keeping.shown = rows_of("bob", 6)
    if what == "everything":
        keeping.commit(keeping.shown)
    else:
        keeping.commit(Commit("customer:bob", "e", 6))
        await keeping.work.pop()
    assert keeping.keeper.error is None
    await keeping.close()
    assert (keeping.found("ann"), keeping.found("bob")) == (0, 6)
