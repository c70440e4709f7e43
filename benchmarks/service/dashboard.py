"""The dashboard over 200,000 jobs, a manager's and for spans of a month and a year."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import Any

import asyncpg

from benchmarks.service.figures import quantiles_ms
from benchmarks.service.world import World

JOBS = 200_000
CALLS = 50_000
INVOICES = 50_000
ROUNDS = 60
_LAST_DAY = dt.date(2026, 11, 30)
# Three years; the triggers of single writes are off, so that it takes seconds and not minutes.
_FILL = f"""
alter table public.jobs disable trigger user;
alter table public.calls disable trigger user;
alter table public.invoices disable trigger user;
insert into public.jobs (customer_id, title, status, scheduled_start, scheduled_end, started_at,
    completed_at, created_at)
select c.id, 'Service', s.status, t.at, t.at + interval '2 hours',
    case when s.status = 'completed' then t.at end,
    case when s.status = 'completed' then t.at + interval '1 hour' end, t.at - interval '6 days'
from (select n, timestamptz '2024-01-01' + n * interval '3 years' / {JOBS} as at
    from generate_series(1, {JOBS}) as n) as t
join (select id, row_number() over (order by id) - 1 as place from public.customers limit 200) as c
    on c.place = t.n % 200
cross join lateral (
    select (array['completed', 'completed', 'scheduled'])[1 + t.n % 3] as status) as s;
insert into public.calls (customer_id, staff_id, direction, started_at, ended_at, outcome)
select c.id, s.user_id, 'outbound', t.at, t.at + interval '5 minutes',
    (array['connected', 'no_answer', 'demo_booked'])[1 + t.n % 3]
from (select n, timestamptz '2024-01-01' + n * interval '3 years' / {CALLS} as at
    from generate_series(1, {CALLS}) as n) as t
join (select id, row_number() over (order by id) - 1 as place from public.customers limit 200) as c
    on c.place = t.n % 200
join (select user_id, row_number() over (order by user_id) - 1 as place,
    count(*) over () as total from public.staff) as s on s.place = t.n % s.total;
insert into public.invoices (customer_id, number, status, currency, total_cents, sent_at, paid_at,
    created_at)
select c.id, 900000 + t.n, 'paid', 'EUR', 1000 + t.n % 50000, t.at, t.at + interval '9 days', t.at
from (select n, timestamptz '2024-01-01' + n * interval '3 years' / {INVOICES} as at
    from generate_series(1, {INVOICES}) as n) as t
join (select id, row_number() over (order by id) - 1 as place from public.customers limit 200) as c
    on c.place = t.n % 200;
alter table public.jobs enable trigger user;
alter table public.calls enable trigger user;
alter table public.invoices enable trigger user;
"""


async def dashboard(world: World) -> dict[str, Any]:
    """Fill the tables and return the latencies of the dashboard by span."""
    database = await asyncpg.connect(world.database_url, command_timeout=120)
    await database.execute(_FILL)
    # As autovacuum leaves tables behind: index-only reads need the map of what all can see.
    await database.execute("vacuum (analyze) public.jobs, public.calls, public.invoices")
    await database.close()
    crm = world.service()
    found: dict[str, Any] = {"jobs": JOBS, "calls": CALLS, "invoices": INVOICES}
    for name, days in (("month", 30), ("quarter", 91), ("year", 365)):
        first_day = _LAST_DAY - dt.timedelta(days=days)
        path = f"/v1/analytics/dashboard?first_day={first_day}&last_day={_LAST_DAY}"
        request = crm.encode("GET", path)
        times = []
        for turn in range(ROUNDS + 5):
            started = time.perf_counter()
            status, _, body = await crm.exchange(request)
            if turn >= 5:
                times.append(time.perf_counter() - started)
            if status != 200 or not sum(json.loads(body)["jobs_by_status"].values()):
                raise RuntimeError(f"{status} {body.decode()[:500]}")
        found[f"{name}_ms"] = quantiles_ms(times)
    crm.close()
    return found
