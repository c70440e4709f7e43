"""Who changed what; what to merge; and putting a row back as a new, audited write."""

from __future__ import annotations

import asyncpg
import pytest

from tests.database.callers import Connection, call, refusal
from tests.support.personas import AGENT, MANAGER, customer_id

A, B = customer_id(1), customer_id(2)
JOB = "d0000000-0000-4000-8000-000000000201"  # customer 1, requested
HISTORY = "select row_history($1, $2)"
CHANGED = "select fields_changed_since($1, $2, $3)"
RESTORE = "select restore_row($1, $2, $3)"


async def edit(db: Connection, who: str, sets: str, key: str | None = None) -> None:
    await call(db, who, f"update jobs set {sets} where id = $1", JOB, key=key)


async def change_ids(db: Connection, table: str = "jobs", row: str = JOB) -> list[int]:
    """Ids of a row's changes, oldest first."""
    entries = (await call(db, "admin", HISTORY, table, row))["entries"]
    return [entry["id"] for entry in reversed(entries)]


async def test_history_says_who_when_what_and_under_which_request(db: Connection) -> None:
    await edit(db, "agent", "title = 'New title', address = 'x'", key="k-1")
    await edit(db, "manager", "address = 'y'")
    history = await call(db, "agent", HISTORY, "jobs", JOB)
    assert history["version"] == 3
    assert [entry["op"] for entry in history["entries"]] == ["update", "update", "insert"]
    newest, before, _first = history["entries"]
    assert (newest["actor"], newest["actor_name"]) == (MANAGER.uid, "Marco Bellini")
    assert (newest["old"], newest["new"]) == ({"address": "x"}, {"address": "y"})
    assert (before["actor"], before["request_id"], before["version"]) == (AGENT.uid, "k-1", 2)
    assert set(before["new"]) == {"title", "address"}
    page = await call(db, "agent", "select row_history('jobs', $1, null, 1)", JOB)
    rest = await call(
        db, "agent", "select row_history('jobs', $1, $2)", JOB, page["next_before_id"]
    )
    assert page["entries"] + rest["entries"] == history["entries"]


async def test_customers_and_strangers_read_no_history(db: Connection) -> None:
    for who in ("customer_a", "unlinked", "inactive"):
        answer = await call(db, who, HISTORY, "jobs", JOB)
        assert answer["entries"] == []
    assert (await refusal(db, "anon", HISTORY, "jobs", JOB))[0] == "42501"
    assert (await call(db, "manager", HISTORY, "staff", AGENT.uid))["entries"] == []
    assert (await call(db, "admin", HISTORY, "staff", AGENT.uid))["entries"] != []


async def test_merge_information_names_fields_with_both_values(db: Connection) -> None:
    await edit(db, "agent", "title = 'B'")
    await edit(db, "agent", "title = 'C', address = 'x'")
    await edit(db, "manager", "description = 'D'")
    since = await call(db, "agent", CHANGED, "jobs", JOB, 2)
    assert (since["since"], since["version"], since["complete"]) == (2, 4, True)
    assert set(since["fields"]) == {"title", "address", "description"}
    title = since["fields"]["title"]
    assert (title["old"], title["new"], title["version"]) == ("B", "C", 3)
    assert since["fields"]["description"]["actor"] == MANAGER.uid
    assert (await call(db, "agent", CHANGED, "jobs", JOB, 4))["fields"] == {}


async def test_a_field_that_came_back_to_its_value_has_not_changed(db: Connection) -> None:
    await edit(db, "agent", "address = 'x'")
    await edit(db, "agent", "address = 'y'")
    await edit(db, "agent", "address = 'x'")
    assert (await call(db, "agent", CHANGED, "jobs", JOB, 2))["fields"] == {}


async def test_merge_information_says_when_the_log_does_not_reach_back(db: Connection) -> None:
    await edit(db, "agent", "title = 'B'")
    await edit(db, "agent", "address = 'x'")
    await db.execute("alter table activity_log disable trigger a_keep_log")
    await db.execute("delete from activity_log where row_id = $1 and row_version = 2", JOB)
    await db.execute("alter table activity_log enable trigger a_keep_log")
    since = await call(db, "agent", CHANGED, "jobs", JOB, 1)
    assert (since["complete"], set(since["fields"])) == (False, {"address"})


async def test_a_restore_is_a_new_audited_write_of_its_caller(db: Connection) -> None:
    before = await db.fetchrow("select title, address from jobs where id = $1", JOB)
    await edit(db, "agent", "title = 'B', address = 'x'")
    await edit(db, "agent", "description = null")
    first, second, _third = await change_ids(db)
    made = await call(db, "manager", RESTORE, "jobs", JOB, second, key="undo-1")
    assert (made["restored"], made["row"]["title"]) == (["description"], "B")
    made = await call(db, "manager", RESTORE, "jobs", JOB, first)
    assert (made["restored"], made["not_restored"]) == (["address", "title"], [])
    assert await db.fetchrow("select title, address from jobs where id = $1", JOB) == before
    history = (await call(db, "agent", HISTORY, "jobs", JOB))["entries"]
    assert [(e["actor"], e["request_id"]) for e in history[:2]] == [
        (MANAGER.uid, None),
        (MANAGER.uid, "undo-1"),
    ]
    assert made["row"]["version"] == 5
    again = await call(db, "manager", RESTORE, "jobs", JOB, first)
    assert (again["restored"], again["row"]["version"]) == ([], 5)


async def test_a_restore_obeys_the_state_machine(db: Connection) -> None:
    await edit(db, "agent", "status = 'scheduled', scheduled_start = now()")
    await edit(db, "agent", "status = 'completed'")
    first, scheduled, _completed = await change_ids(db)
    before = await db.fetchrow("select * from jobs where id = $1", JOB)
    for change in (first, scheduled):
        sqlstate, message = await refusal(db, "admin", RESTORE, "jobs", JOB, change)
        assert (sqlstate, message[:29]) == ("23514", "job cannot go from completed ")
    assert await db.fetchrow("select * from jobs where id = $1", JOB) == before


async def test_a_restore_brings_a_deleted_row_back(db: Connection) -> None:
    await call(db, "agent", "select soft_delete('jobs', $1)", JOB)
    assert await call(db, "customer_a", "select count(*) from jobs where id = $1", JOB) == 0
    first, deleted = await change_ids(db)
    made = await call(db, "agent", RESTORE, "jobs", JOB, first)
    assert (made["restored"], made["row"]["deleted_at"]) == (["deleted_at"], None)
    assert await call(db, "customer_a", "select count(*) from jobs where id = $1", JOB) == 1
    assert (await call(db, "agent", RESTORE, "jobs", JOB, deleted))["row"]["deleted_at"]


async def test_a_restore_says_what_it_cannot_turn_back(db: Connection) -> None:
    await edit(db, "agent", "title = 'B'")
    await call(db, "agent", "update invoices set job_id = null where job_id = $1", JOB)
    await call(db, "agent", "select move_to_customer('jobs', $1, $2)", JOB, B)
    first, *_rest = await change_ids(db)
    made = await call(db, "agent", RESTORE, "jobs", JOB, first)
    assert (made["restored"], made["not_restored"]) == (["title"], ["customer_id"])
    assert made["row"]["customer_id"] == B


async def test_a_sent_invoice_stays_as_it_was_sent(db: Connection) -> None:
    invoice = "e0000000-0000-4000-8000-000000000001"
    first, *_rest = await change_ids(db, "invoices", invoice)
    assert (await refusal(db, "admin", RESTORE, "invoices", invoice, first))[0] == "23514"


async def test_a_restore_needs_the_right_to_write_the_row(db: Connection) -> None:
    lead = customer_id(4)  # the manager's
    await call(db, "manager", "update leads set score = 5 where customer_id = $1", lead)
    first, *_rest = await change_ids(db, "leads", lead)
    assert await refusal(db, "agent", RESTORE, "leads", lead, first) == ("PT404", "no such row")
    assert (await call(db, "manager", RESTORE, "leads", lead, first))["restored"] == ["score"]
    for table, row in (
        ("messages", "f0000000-0000-4000-8000-000000000001"),
        ("loyalty_transactions", "10000000-0000-4000-8000-000000000001"),
    ):
        change = (await change_ids(db, table, row))[0]
        assert (await call(db, "admin", RESTORE, table, row, change))["restored"] == []


async def test_a_stale_restore_is_a_conflict(db: Connection) -> None:
    await edit(db, "agent", "title = 'B'")
    first, *_rest = await change_ids(db)
    stale = "select restore_row('jobs', $1, $2, 1)"
    assert await refusal(db, "agent", stale, JOB, first) == (
        "PT409",
        "the row has changed since version 1",
    )
    other = await change_ids(db, "jobs", "d0000000-0000-4000-8000-000000000001")
    assert (await refusal(db, "agent", RESTORE, "jobs", JOB, other[0]))[0] == "PT404"


async def test_a_row_made_anew_is_not_mixed_with_its_former_self(db: Connection) -> None:
    first, *_rest = await change_ids(db)
    await db.execute("delete from jobs where id = $1", JOB)
    await db.execute("insert into jobs (id, customer_id, title) values ($1, $2, 'anew')", JOB, A)
    with pytest.raises(asyncpg.CheckViolationError, match="deleted and made anew"):
        await call(db, "agent", RESTORE, "jobs", JOB, first)
