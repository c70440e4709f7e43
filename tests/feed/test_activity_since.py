"""Staff follow the log without gaps or repeats, whoever writes, rolls back or stays open."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import pytest

from tests.feed.oracle import Connection
from tests.feed.test_concurrent_writers import mutate
from tests.support.cluster import Database
from tests.support.personas import AGENT, CUSTOMER_A, INACTIVE, Persona, acting_as

SEED = 20261129
JOBS = [f"d0000000-0000-4000-8000-{number:012d}" for number in range(1, 13)]


class _RollbackError(Exception):
    """Thrown to undo a transaction or savepoint."""


async def since(
    db: Connection, cursor: str | None, limit: int = 500, who: Persona = AGENT
) -> dict[str, Any]:
    """Ask as a member of staff."""
    async with db.transaction():
        await acting_as(db, who)
        return dict(json.loads(await db.fetchval("select activity_since($1, $2)", cursor, limit)))


@dataclass(slots=True)
class Follower:
    """A front end that loses its connection now and then, in the middle of a page too."""

    cursor: str
    random: random.Random
    seen: list[tuple[int, str, int]] = field(default_factory=list)

    async def look(self, db: Connection) -> None:
        """Read to the end, or until the connection is lost."""
        while True:
            answer = await since(db, self.cursor, self.random.choice((1, 3, 500)))
            assert answer["reset"] is None
            for entry in answer["entries"]:
                self.seen.append((entry["id"], entry["row_id"], entry["row_version"]))
                self.cursor = f"{answer['within']}{entry['id']}"
                if self.random.random() < 0.1:
                    return
            self.cursor = answer["cursor"]
            if not answer["more"]:
                return


async def write(url: str, seed: int, transactions: int) -> None:
    """Change jobs that everybody changes, in transactions of any length and outcome."""
    rng = random.Random(seed)
    db = await asyncpg.connect(url)

    async def step(job: str) -> None:
        await db.execute("update jobs set title = $2 where id = $1", job, str(rng.random()))

    async def transaction() -> None:
        # Draws its transaction number early, and writes the rows late.
        await db.execute("select pg_current_xact_id()")
        for job in sorted(rng.sample(JOBS, rng.randint(1, 3))):
            await db.execute("select pg_sleep($1)", rng.random() * 0.004)
            if rng.random() < 0.3:
                try:
                    async with db.transaction():
                        await step(job)
                        raise _RollbackError
                except _RollbackError:
                    pass
            await step(job)
        if rng.random() < 0.2:
            raise _RollbackError

    try:
        for _ in range(transactions):
            try:
                async with db.transaction():
                    await transaction()
            except _RollbackError:
                pass
    finally:
        await db.close()


async def faults_of_followers(url: str, *, transactions: int) -> list[str]:
    """Let writers and followers loose; compare what was followed with the table."""
    connections = [await asyncpg.connect(url) for _ in range(4)]
    owner, *readers = connections
    try:
        start = (await since(owner, None))["cursor"]
        before = await owner.fetchval("select coalesce(max(id), 0) from activity_log")
        followers = [Follower(start, random.Random(SEED + i)) for i in range(len(readers))]
        writers = [
            asyncio.create_task(write(url, SEED + i, transactions), name="writer") for i in range(6)
        ]

        async def follow(follower: Follower, db: Connection) -> None:
            while not all(writer.done() for writer in writers):
                await follower.look(db)
            seen = -1
            while seen != len(follower.seen):
                seen = len(follower.seen)
                await follower.look(db)

        async with asyncio.TaskGroup() as group:
            for pair in zip(followers, readers, strict=True):
                group.create_task(follow(*pair), name="follower")
        await asyncio.gather(*writers)
        stored = await owner.fetch(
            "select id, row_id, row_version from activity_log where id > $1", before
        )
    finally:
        for connection in connections:
            await connection.close()
    assert len(stored) > 4 * transactions
    return [
        fault
        for follower in followers
        for fault in _faults(follower, [(r["id"], r["row_id"], r["row_version"]) for r in stored])
    ]


def _faults(follower: Follower, stored: list[tuple[int, str, int]]) -> list[str]:
    faults = []
    if lost := set(stored) - set(follower.seen):
        faults.append(f"lost {len(lost)} of {len(stored)}")
    if len(follower.seen) != len(set(follower.seen)):
        faults.append("given twice")
    versions: dict[str, int] = {}
    for _, row, version in follower.seen:
        if version <= versions.get(row, 0):
            faults.append("an older version after a newer one")
        versions[row] = version
    return faults


async def test_every_committed_entry_is_followed_once_and_rows_in_order(database: Database) -> None:
    """6 writers with savepoints and 20 % rollbacks, 3 followers that break off in mid-page."""
    assert await faults_of_followers(database.url, transactions=25) == []


async def test_transaction_numbers_as_a_watermark_are_found_out(database: Database) -> None:
    """The check can fail: whoever draws a number early and commits late would be lost."""
    db = await asyncpg.connect(database.url)
    try:
        naive = r"not pg_visible_in_snapshot\(l\.xid, seen\)"
        await mutate(db, "activity_since(text, integer)", naive, "l.xid >= pg_snapshot_xmax(seen)")
    finally:
        await db.close()
    assert await faults_of_followers(database.url, transactions=8) != []


async def test_an_open_transaction_delays_nobody_else(database: Database) -> None:
    """What it wrote comes when it commits, though its numbers are the oldest."""
    slow, fast = await asyncpg.connect(database.url), await asyncpg.connect(database.url)
    try:
        cursor = (await since(fast, None))["cursor"]
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute("update jobs set title = 'slow' where id = $1", JOBS[0])
        await fast.execute("update jobs set title = 'fast' where id = $1", JOBS[1])
        first = await since(fast, cursor)
        assert [entry["row_id"] for entry in first["entries"]] == [JOBS[1]]
        await transaction.commit()
        second = await since(fast, first["cursor"])
        assert [entry["row_id"] for entry in second["entries"]] == [JOBS[0]]
        assert second["entries"][0]["id"] < first["entries"][0]["id"]
        assert "xid" not in second["entries"][0]
    finally:
        await slow.close()
        await fast.close()


async def test_a_cursor_of_another_epoch_is_told_to_reload(database: Database) -> None:
    """After a restore, when the entries it stands on were pruned, or from the future."""
    db = await asyncpg.connect(database.url)
    try:
        cursor = (await since(db, None))["cursor"]
        epoch, snapshot = cursor.split("~")
        await db.execute("update jobs set title = 'x' where id = $1", JOBS[0])
        ahead = await since(db, f"{epoch}~9000000:9000000:")
        assert (ahead["reset"], ahead["entries"]) == ("ahead", [])
        await db.execute("select private.new_sync_epoch()")
        told = await since(db, cursor)
        assert (told["reset"], told["entries"]) == ("epoch", [])
        await db.execute("update jobs set title = 'y' where id = $1", JOBS[0])
        later = await since(db, told["cursor"])
        assert [entry["new"]["title"] for entry in later["entries"]] == ["y"]
        # A restored log carries the numbers of another server: they are never news.
        old = f"{later['cursor'].split('~')[0]}~{snapshot}"
        assert [entry["new"]["title"] for entry in (await since(db, old))["entries"]] == ["y"]

        await db.execute("alter table activity_log disable trigger a_append_only")
        await db.execute("update activity_log set at = now() - interval '3 years'")
        await db.execute("select private.prune_activity_log()")
        assert (await since(db, later["cursor"]))["reset"] is None
        assert (await since(db, told["cursor"]))["reset"] == "pruned"
    finally:
        await db.close()


async def test_what_cannot_be_followed_is_refused(database: Database) -> None:
    """Cursors that were never given, limits out of range, and callers who are not staff."""
    db = await asyncpg.connect(database.url)
    try:
        epoch = (await since(db, None))["cursor"].split("~")[0]
        refused = dict.fromkeys(("", "1", "~", "x~1:1:", "~1:1:~1:1:~x"), "22023")
        for cursor, sqlstate in {**refused, f"{epoch}~9:1:": "22P02"}.items():
            with pytest.raises(asyncpg.PostgresError) as found:
                await since(db, cursor)
            assert found.value.sqlstate == sqlstate, cursor
        with pytest.raises(asyncpg.PostgresError, match="malformed limit"):
            await since(db, None, 0)
        for who in (CUSTOMER_A, INACTIVE):
            with pytest.raises(asyncpg.PostgresError) as found:
                await since(db, None, who=who)
            assert found.value.sqlstate == "42501", who
    finally:
        await db.close()


async def test_an_entry_that_came_along_with_a_restore_is_never_news(database: Database) -> None:
    """Its transaction number is another cluster's, and this one's numbers grow past it."""
    db = await asyncpg.connect(database.url)
    try:
        start = await since(db, None)
        await db.execute(
            "insert into activity_log (table_name, row_id, op, actor_kind, xid, home) values "
            "('jobs', $1, 'insert', 'system', (pg_current_xact_id()::text::bigint + 2)::text::xid8,"
            " gen_random_uuid())",
            JOBS[0],
        )
        for title in "abc":
            await db.execute("update jobs set title = $2 where id = $1", JOBS[1], title)
        entries = (await since(db, start["cursor"]))["entries"]
        assert [entry["new"]["title"] for entry in entries] == ["a", "b", "c"]
        assert not {"xid", "home"} & set(entries[0])
    finally:
        await db.close()
