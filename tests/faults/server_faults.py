"""F6, F7, F8, F12, F13: what happens to the database while customers look."""

from __future__ import annotations

import asyncio
import os
import signal

from tests.faults.world import World

BULK = 400


async def kill_api_backends(world: World) -> None:
    await kill_backends(world, "usename = 'authenticator'")


async def kill_every_backend(world: World) -> None:
    """Replication, Realtime, Auth and REST all lose their connections."""
    await kill_backends(world, "backend_type in ('client backend', 'walsender')")


async def kill_backends(world: World, which: str) -> None:
    """End the database's side of connections."""
    await world.as_owner(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        f" where pid <> pg_backend_pid() and ({which})",
        admin=True,
    )


async def restart_postgres(world: World) -> None:
    """Stop the server fast, at once, or as a crash; the stack starts it again."""
    how = world.chance.choice([signal.SIGINT, signal.SIGQUIT, signal.SIGKILL])
    pid = world.stack.stack._cluster.pid
    if pid is not None:
        os.kill(pid, how)
    await asyncio.sleep(world.chance.random())


async def renew_epoch(world: World) -> None:
    await world.as_owner(f"select private.new_sync_epoch('{world.account.scope}')")


async def prune(world: World) -> None:
    await world.as_owner("select private.prune_sync_changes('0 seconds', 10000)")


async def prune_while_away(world: World) -> None:
    """Away for longer than entries are kept."""
    world.proxy.is_open = False
    world.proxy.reset_all()
    await asyncio.sleep(0.3)
    await prune(world)
    await world.hold(0.5)


async def write_in_bulk(world: World) -> None:
    """Hundreds of rows appear and disappear again, each in one transaction."""
    customer = world.account.customer_id
    await world.as_owner(
        "insert into jobs (customer_id, title)"
        f" select '{customer}', 'bulk' from generate_series(1, {BULK})"
    )
    await world.as_owner(
        f"update jobs set deleted_at = now() where customer_id = '{customer}' and title = 'bulk'"
    )


async def change_untold(world: World) -> None:
    """A row changes and no trigger runs, as in a restore (F13)."""
    job = world.chance.choice(world.jobs)
    world.tampered.add(str(job))
    await untold(
        world, f"update jobs set title = 'restored', version = version + 1 where id = '{job}'"
    )


async def copy_in_untold(world: World) -> None:
    """A row comes in by COPY with triggers off."""
    customer = world.account.customer_id
    await untold(
        world,
        f"insert into jobs (customer_id, title) values ('{customer}', 'copied')",
    )


async def hide_untold(world: World) -> None:
    """A row goes with triggers off."""
    customer = world.account.customer_id
    await untold(
        world,
        "delete from jobs where id in (select id from jobs where title = 'copied'"
        f" and customer_id = '{customer}' limit 1)",
    )


async def untold(world: World, sql: str) -> None:
    """Run SQL without triggers."""
    await world.as_owner(
        f"begin; set local session_replication_role = replica; {sql}; commit", admin=True
    )


async def lose_a_permission(world: World) -> None:
    """Somebody else is looked at, then this one again: access goes and comes back (F8, F9)."""
    customer = world.account.customer_id
    await world.as_owner(f"update customers set portal_user_id = null where id = '{customer}'")
    await asyncio.sleep(world.chance.random())
    await world.as_owner(
        f"update customers set portal_user_id = '{world.account.user_id}' where id = '{customer}'"
    )
    world.each_portal(lambda portal: portal.resume())


async def change_the_policy(world: World) -> None:
    """A policy hides a part of the rows for a moment, without a word to the feed (F8)."""
    name = "staff read every job, a customer the own ones"
    usual = (
        "(customer_id = (select private.my_customer_id()) and deleted_at is null)"
        " or (select private.is_staff())"
    )
    for rule in (f"title not like 't1%' and ({usual})", usual):
        await world.as_owner(f'alter policy "{name}" on public.jobs using ({rule})')
        await asyncio.sleep(world.chance.random() * 0.5)


async def change_the_schema(world: World) -> None:
    """A column comes, gets another name, and goes (F12)."""
    for change in (
        "add column season text default 'spring'",
        "rename column season to time_of_year",
        "drop column time_of_year",
    ):
        await world.as_owner(f"set lock_timeout = '2s'; alter table public.jobs {change}")
        await asyncio.sleep(world.chance.random() * 0.3)
