"""What cannot be right is said at once, with what to do; the rows stay as they are."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from portal_sdk import (
    ConfigurationError,
    PasswordAuth,
    PendingWrite,
    Portal,
    PortalClosedError,
    PortalConfig,
    StateError,
    StoreError,
    StoreUnusableError,
    WriteRefusedError,
)
from portal_sdk._core.write import Write, WriteKind
from portal_sdk._runtime import tokens
from portal_sdk._store import SqliteStore
from portal_sdk._store.outbox import SqliteOutbox
from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually

KEY = "sb_publishable_x"
LOGIN = PasswordAuth("jo@example.com", "secret")
NOBODY = 65534


# Arguments.


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("", "is empty"),
        ("127.0.0.1:54321", "must start with http"),
        ("ftp://x.example", "must start with http"),
        ("http://", "must start with http"),
        ("http://[::1", "malformed"),
        ("http://x.example:port", "malformed"),
        ("https://x.example/?a=b", "must be plain"),
        ("https://jo:secret@x.example", "must be plain"),
        (" ", "is empty"),
        (None, "must be a text, not None"),
        (5, "must be a text, not int"),
        (b"http://127.0.0.1:1", "must be a text, not bytes"),
        ("http://exa mple", "malformed: it has spaces"),
        ("http://exa\tmple", "malformed: it has spaces"),
        ("http://exa\x00mple", "malformed: it has spaces"),
        ("https://<ref>.supabase.co", "malformed"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused(url: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice) as caught:
        Portal(url, KEY, auth=LOGIN)
    assert "https://<ref>.supabase.co" in str(caught.value)
    assert "secret" not in str(caught.value)


SERVICE_ROLE = ".".join(
    ["x", base64.urlsafe_b64encode(b'{"role":"service_role"}').decode().rstrip("="), "y"]
)


@pytest.mark.parametrize(
    "key", ["", " ", "two words", "sb_secret_abc", SERVICE_ROLE, "schlüssel", None]
)
def test_a_key_that_cannot_be_right_is_refused(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="publishable"):
        Portal("http://127.0.0.1:1", key, auth=LOGIN)


@pytest.mark.parametrize("given", [("", "x"), ("jo", " "), (5, "x"), (None, "x"), ("jo", b"x")])
def test_a_login_that_cannot_be_right_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs an e-mail address and a password"):
        PasswordAuth(*given)


def test_something_else_than_a_sign_in_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PasswordAuth"):
        Portal("http://127.0.0.1:1", KEY, auth=("jo@example.com", "secret"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "argument", [{"config": "fast"}, {"config": {"pull_limit": 5}}, {"store": 5}]
)
def test_an_argument_of_another_kind_is_named(argument: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(argument))} must be"):
        Portal("http://127.0.0.1:1", KEY, auth=LOGIN, **argument)


@pytest.mark.parametrize(
    ("store", "advice"),
    [
        ("", "empty path; name a file"),
        (" ", "empty path; name a file"),
        (":memory:", "use store=None"),
        (Path(":memory:"), "use store=None"),
        ("a\0b", "characters that no file name can have; name a file"),
        (Path("a\0b"), "characters that no file name can have"),
        ("a\ud800b", "characters that no file name can have"),
    ],
)
def test_a_store_that_can_be_no_file_is_refused(store: str | Path, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        Portal("http://127.0.0.1:1", KEY, auth=LOGIN, store=store)


@pytest.mark.parametrize(
    "settings",
    [
        {"verify_interval_s": 0},
        {"poll_interval_s": float("nan")},
        {"pull_limit": 5001},
        {"doorbells": ("bell",)},
        {"request_timeout_s": "10"},
        {"pull_limit": 1.5},
        {"queue_capacity": 0.5},
        {"verify_interval_s": True},
        {"doorbells": None},
        {"doorbells": "broadcast"},
        {"doorbells": (["broadcast"],)},
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        PortalConfig(**settings)


def _yields(record: Any) -> Iterator[Any]:
    yield record


async def _yields_later(record: Any) -> Any:
    yield record


@pytest.mark.parametrize(
    ("callback", "advice"),
    [
        ("print", "must be a function"),
        (None, "must be a function"),
        (lambda: None, r"must take \(record\)"),
        (lambda record, previous: None, r"must take \(record\)"),
        (_yields, "yield"),
        (_yields_later, "yield"),
    ],
)
def test_a_callback_that_could_never_run_is_refused(callback: Any, advice: str) -> None:
    project = FakeProject()
    portal = project.portal(project.add_customer())
    with pytest.raises(ConfigurationError, match=advice):
        portal.jobs.on_insert(callback)
    assert not portal.jobs.has_subscribers()


def test_every_callback_says_what_it_is_called_with() -> None:
    project = FakeProject()
    portal = project.portal(project.add_customer())
    with pytest.raises(ConfigurationError, match=r"must take \(record, previous\)"):
        portal.jobs.on_update(lambda record: None)
    for register in (portal.on_change, portal.jobs.on_change, portal.jobs.view().on_change):
        with pytest.raises(ConfigurationError, match=r"must take \(change\)"):
            register(lambda: None)
    with pytest.raises(ConfigurationError, match=r"must take \(write\)"):
        portal.outbox.on_refused(lambda: None)
    with pytest.raises(ConfigurationError, match=r"must take \(conflict\)"):
        portal.outbox.on_conflict(lambda: None)
    portal.jobs.on_insert(print)  # a built-in function takes anything


# Rows.


async def test_rows_with_unknown_missing_and_odd_columns_are_shown(caplog: Any) -> None:
    """Each column that fits has its type; the rest is as it came, and is named once in the log."""
    project = FakeProject()
    jo = project.add_customer()
    ids = [
        project.insert(
            jo, "jobs", title=7, colour="red", scheduled_start="2026-01-01T10:00:00Z",
            scheduled_end="tomorrow",
        )
        for _ in range(2)
    ]  # fmt: skip
    feed = project._feeds[jo.id]
    for job_id in ids:
        del feed.tables["jobs"][job_id]["customer_id"]
    async with project.portal(jo) as portal:
        await portal.ready()
        for job in portal.jobs:
            assert str(job.id) in ids
            assert job.scheduled_start == datetime(2026, 1, 1, 10, tzinfo=UTC)
            assert (job.title, job.scheduled_end, job.customer_id) == (7, "tomorrow", None)
            assert job.colour == "red"
        assert portal.status.state == "live"
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "customer_id, title, scheduled_end" in warnings[0]
    assert "tomorrow" not in warnings[0]


async def test_a_row_without_an_id_is_said_and_the_rows_stay() -> None:
    project = FakeProject()
    jo = project.add_customer()
    project.insert(jo, "jobs", title="Boiler")
    async with project.portal(jo) as portal:
        await portal.ready()
        project._feeds[jo.id].put("jobs", {"id": "x", "title": "odd", "version": 1})
        project._feeds[jo.id].log[-1]["row"] = {"title": "odd"}
        project.ring(jo.id)
        await eventually(lambda: portal.status.last_error is not None)
        assert "migrations match this SDK version" in str(portal.status.last_error)
        assert portal.status.state != "live"
        assert [job.title for job in portal.jobs] == ["Boiler"]


# The store.


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that another user of this machine can enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.contextmanager
def unwritable(path: Path) -> Iterator[None]:
    """Nobody may write the file and its folder; root may everything, so be nobody for a while."""
    user = os.geteuid()
    if path.exists():
        path.chmod(0o444)
    path.parent.chmod(0o555)
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(user)
        path.parent.chmod(0o755)


@pytest.mark.parametrize("exists", [True, False])
async def test_a_store_that_cannot_be_written_is_said_and_left_alone(
    folder: Path, exists: bool
) -> None:
    project = FakeProject()
    jo = project.add_customer()
    path = folder / "portal.db"
    if exists:
        async with project.portal(jo, store=path) as portal:
            await portal.ready()
    before = _content(path)
    with unwritable(path), pytest.raises(StoreUnusableError, match="make the folder writable"):
        await project.portal(jo, store=path).__aenter__()
    assert _content(path) == before


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("none/portal.db", "there is no folder .*none; make it"),
        (".", "it is a folder; name a file in it"),
        ("diary.txt", "left as it is; give this portal its own file"),
    ],
)
async def test_a_path_that_is_no_store_is_told_apart(
    tmp_path: Path, name: str, advice: str
) -> None:
    """Nobody is advised to delete a file that is not ours."""
    (tmp_path / "diary.txt").write_text("Dear diary, " * 100)
    project = FakeProject()
    with pytest.raises(StoreUnusableError, match=advice) as caught:
        await project.portal(project.add_customer(), store=tmp_path / name).__aenter__()
    assert "delete" not in str(caught.value)
    assert (tmp_path / "diary.txt").read_text().startswith("Dear diary")


async def test_a_full_disk_is_in_the_status_also_when_only_writes_meet_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write is kept before it is shown; what happens to it afterwards may not be."""
    project = FakeProject()
    jo = project.add_customer()
    async with project.portal(jo, store=tmp_path / "p.db") as portal:
        await portal.ready()
        sent = await portal.messages.send("kept")

        def full(*_arguments: Any) -> None:
            raise StoreError("no space")

        monkeypatch.setattr(SqliteOutbox, "_write", full)
        with pytest.raises(StoreError, match="no space"):
            await portal.messages.send("not kept")
        await sent.synced(timeout_s=5)
        assert [message.body for message in portal.messages] == ["kept"]
        assert isinstance(portal.status.last_error, StoreError)


async def test_rows_that_could_not_be_erased_are_erased_at_the_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SYNC-18: the disk was full when access was taken away; nothing may stay in the file."""
    project = FakeProject()
    jo = project.add_customer(name="Jo Secret")
    path = tmp_path / "p.db"
    async with project.portal(jo, store=path) as portal:
        await portal.ready()
        real = SqliteStore.purge

        def full(_self: SqliteStore) -> None:
            raise StoreError("no space")

        monkeypatch.setattr(SqliteStore, "purge", full)
        project.faults.http_status = 403
        project.update(jo, "customers", jo.id, phone="1")
        await eventually(lambda: len(portal.profile) == 0)
        monkeypatch.setattr(SqliteStore, "purge", real)
    assert b"Jo Secret" not in path.read_bytes()


WRITES: dict[str, Any] = {
    "body": lambda portal, text: portal.messages.send(text),
    "title": lambda portal, text: portal.jobs.request(text),
    "address": lambda portal, text: portal.jobs.request("a", address=text),
    "phone": lambda portal, text: portal.profile.update(phone=text),
    "reason": lambda portal, text: portal.loyalty.redeem(1, reason=text),
    "preferences": lambda portal, text: portal.profile.set_preferences(theme=text),
}
UNUSABLE = {"surrogate": "\ud83d", "number": 5, "bytes": b"x"}


async def test_what_could_never_be_sent_is_refused_before_it_is_kept() -> None:
    """Kept, it would be sent again and again, and hold back whatever comes behind it."""
    project = FakeProject()
    jo = project.add_customer()
    async with project.portal(jo) as portal:
        await portal.ready()
        for name, write in WRITES.items():
            for kind, value in UNUSABLE.items():
                if (name, kind) != ("preferences", "number"):
                    with pytest.raises(ConfigurationError, match=name):
                        await write(portal, value)
        with pytest.raises(ConfigurationError, match="preferences"):
            await portal.profile.set_preferences(size=float("nan"))
        with pytest.raises(ConfigurationError, match="phone must not contain NUL"):
            await portal.profile.update(phone="1\0")
        with pytest.raises(ConfigurationError, match="a write of the outbox, or its id"):
            portal.outbox.retry(5)  # type: ignore[arg-type]
        assert (len(portal.outbox), len(portal.messages)) == (0, 0)
        for value in (None, "", "x" * 201):
            with pytest.raises(ConfigurationError, match="name"):
                await portal.profile.update(name=value)
        await (await portal.profile.update(phone="")).synced(timeout_s=5)


async def test_a_write_that_cannot_be_sent_is_refused_and_blocks_nothing() -> None:
    """Kept by an earlier version, which did not look so closely."""
    project = FakeProject()
    jo = project.add_customer()
    async with project.portal(jo) as portal:
        await portal.ready()
        kept = Write(
            "w1", f"customer:{jo.id}", WriteKind.INSERT, "messages", str(uuid.uuid4()),
            "messages:thread", {"body": "\ud83d"}, made_at=datetime.now(UTC).isoformat(),
        )  # fmt: skip
        odd: PendingWrite[Any] = portal._desk.submit(kept)
        behind = await portal.messages.send("behind it")
        await behind.synced(timeout_s=5)
        with pytest.raises(WriteRefusedError, match="cannot be sent as JSON"):
            await odd.synced(timeout_s=5)


async def test_a_column_that_does_not_exist_is_refused_and_a_new_one_is_not() -> None:
    project = FakeProject()
    jo = project.add_customer()
    project.insert(jo, "jobs", title="Boiler", colour="red")
    async with project.portal(jo) as portal:
        await portal.ready()
        assert [job.title for job in portal.jobs.where(colour="red")] == ["Boiler"]
        with pytest.raises(ConfigurationError, match=r"no column 'titel'; there are .*title"):
            portal.jobs.where(titel="Boiler")
        assert portal.invoices.where(anything=1) == []  # no row shows what columns there are


async def test_what_a_portal_prints_names_no_data() -> None:
    project = FakeProject()
    jo = project.add_customer(name="Jo")
    project.insert(jo, "jobs", title="Boiler")
    async with project.portal(jo) as portal:
        await portal.ready()
        assert repr(portal.jobs) == "<Jobs jobs: 1 rows>"
        assert repr(portal).endswith(" live>")


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


# Life.


async def test_after_closing_rows_stay_and_everything_else_says_so() -> None:
    project = FakeProject()
    jo = project.add_customer()
    project.insert(jo, "jobs", title="Boiler")
    portal = project.portal(jo)
    with pytest.raises(PortalClosedError, match="Enter the portal"):
        await portal.ready()
    with pytest.raises(PortalClosedError):
        portal.pause()
    async with portal:
        await portal.ready()
    await portal.close()
    assert [job.title for job in portal.jobs] == ["Boiler"]
    assert (portal.customer.name, portal.status.state) == ("Jo", "closed")
    assert [change async for change in portal.changes()] == []
    assert [change async for change in portal.jobs.view().changes()] == []
    for use in (portal.pause, portal.resume):
        with pytest.raises(PortalClosedError):
            use()
    for late in (
        portal.ready(), portal.messages.send("x"), portal.jobs.request("x"),
        portal.loyalty.redeem(1, reason="x"), portal.profile.update(phone="1"),
    ):  # fmt: skip
        with pytest.raises(PortalClosedError):
            await late
    for room in (portal.presence, portal.broadcast):
        with pytest.raises(PortalClosedError):
            room("lobby")
    with pytest.raises(StateError, match="entered once"):
        await portal.__aenter__()


@pytest.mark.spec("CONN-14")
async def test_closed_is_final_also_before_entering() -> None:
    project = FakeProject()
    jo = project.add_customer()
    portal = project.portal(jo)
    statuses, changes = portal.statuses(), portal.jobs.changes()
    for _ in range(2):
        await portal.close()
    assert portal.status.state == "closed"
    assert [status.state async for status in statuses] == ["closed"]
    assert [change async for change in changes] == []
    with pytest.raises(PortalClosedError, match="make a new one"):
        await portal.__aenter__()
    with pytest.raises(PortalClosedError, match="make a new one"):
        await portal.ready()

    def script() -> None:
        plain = project.blocking_portal(jo)
        for _ in range(2):
            plain.close()
        assert plain.status.state == "closed"
        with pytest.raises(PortalClosedError, match="make a new one"):
            plain.__enter__()
        with pytest.raises(PortalClosedError, match="open a new one"):
            plain.ready()

    await asyncio.to_thread(script)


async def test_two_portals_in_one_loop_do_not_know_of_each_other() -> None:
    project = FakeProject()
    jo, ann = project.add_customer("jo@example.com"), project.add_customer("ann@example.com")
    project.insert(jo, "jobs", title="of Jo")
    project.insert(ann, "jobs", title="of Ann")
    async with project.portal(jo) as first:
        async with project.portal(ann) as second:
            await asyncio.gather(first.ready(), second.ready())
            heard = second.changes()
            await (await first.jobs.request("new")).synced()
            assert [job.title for job in second.jobs] == ["of Ann"]
            project.insert(ann, "jobs", title="too")
            assert (await anext(heard)).record.title == "too"
        assert first.status.state == "live"
        assert {job.title for job in first.jobs} == {"of Jo", "new"}


async def test_a_cancellation_at_any_moment_leaves_no_task_and_a_sound_store(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """Cancelled after each number of turns of the loop, from entering to closing."""
    monkeypatch.setattr(tokens._PasswordSession, "prove", lambda _self, _salt: b"p" * 32)
    project = FakeProject()
    jo = project.add_customer()
    job_id = project.insert(jo, "jobs", title="Boiler")
    store = tmp_path / "portal.db"
    ours = asyncio.all_tasks()

    async def session(number: int) -> None:
        async with project.portal(jo, store=store) as portal:
            await portal.ready()
            stream = portal.changes()
            sent = await portal.messages.send(f"message {number}")
            await sent.synced()
            await anext(stream)
            project.update(jo, "jobs", job_id, title=f"title {number}")
            await anext(stream)

    turns, was_cancelled = 0, True
    while was_cancelled:
        task = asyncio.create_task(session(turns))
        for _ in range(turns):
            await asyncio.sleep(0)
        was_cancelled = not task.done() and task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for _ in range(10):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == ours, f"a task is left after {turns} turns"
        turns += 1
    assert turns > 10, "the session was not cancelled at its later moments"
    async with project.portal(jo, store=store) as portal:
        await portal.ready()
        for write in list(portal.outbox):
            await write.synced()
        await eventually(
            lambda: (
                {str(m.id) for m in portal.messages}
                == {row["id"] for row in project.rows(jo, "messages")}
            )
        )
        bodies = [message.body for message in portal.messages]
        assert len(bodies) == len(set(bodies)), "a message was sent twice"
