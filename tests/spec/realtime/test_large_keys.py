"""Keys that PostgreSQL stores out of line, and keys that are not published at all."""

from __future__ import annotations

from typing import Any

from tests.spec.realtime.conftest import Project

LARGE_KEY = "(select string_agg(md5(n::text), '') from generate_series(1, 80) as n)"


async def test_an_update_of_a_row_with_a_key_stored_out_of_line_is_told(project: Project) -> None:
    """The unchanged key travels only with the old row."""
    await project.db.execute(
        "create table wide (k text primary key, n int);"
        "alter table wide alter k set storage external;"
        "alter table wide enable row level security;"
        "create policy everybody on wide for select to authenticated using (true);"
        "grant select on wide to authenticated;"
        "alter publication supabase_realtime add table wide"
    )
    client = await project.listening(
        {"event": "*", "schema": "public", "table": "wide"}, token=project.token()
    )
    await project.db.execute(f"insert into wide values ({LARGE_KEY}, 1)")
    inserted = (await client.change())["data"]["record"]
    await project.db.execute("update wide set n = 2")
    data: dict[str, Any] = (await client.change())["data"]
    assert data["record"] == {**inserted, "n": 2}
    assert len(data["record"]["k"]) == 2560


async def test_a_row_whose_key_is_not_published_is_shown_to_nobody(project: Project) -> None:
    """It cannot be looked up; what is committed afterwards is told as ever."""
    for table in ("partial", "whole"):
        await project.db.execute(
            f"create table {table} (k int primary key, n int);"
            f"alter table {table} enable row level security;"
            f"create policy everybody on {table} for select to authenticated using (true);"
            f"grant select on {table} to authenticated"
        )
    await project.db.execute("alter publication supabase_realtime add table partial (n), whole")
    client = await project.listening({"event": "*", "schema": "public"}, token=project.token())
    await project.db.execute("insert into partial values (1, 1)")
    # Alone first, and then in one batch with a row that is told.
    await project.fence(client)
    await project.db.execute("insert into partial values (2, 2); insert into whole values (1, 1)")
    assert (await client.change())["data"]["record"] == {"k": 1, "n": 1}
    await project.db.execute("insert into whole values (2, 2)")
    assert (await client.change())["data"]["record"] == {"k": 2, "n": 2}
