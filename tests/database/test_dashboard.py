"""The dashboard, which reads along indexes, against its first form, which reads row by row."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pytest

from tests.database.callers import Connection, call
from tests.support.cluster import REPOSITORY

FIRST_FORM = REPOSITORY / "supabase" / "migrations" / "20261103000800_add_dashboard_rpc.sql"
ZONES = ("UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe")
QUESTION = "select {name}($1, $2, $3)"
WHEN = "timestamptz '2025-01-01' + random() * interval '2 years'"
# Without the triggers, so that there are states that single writes reach in years only.
FILL = f"""
select setseed($seed$);
alter table jobs disable trigger user;
alter table calls disable trigger user;
alter table invoices disable trigger user;
alter table leads disable trigger user;
insert into jobs (customer_id, title, status, scheduled_start, created_at, completed_at, deleted_at)
select c.id, 'x', s.status, {WHEN}, {WHEN}, case when s.status = 'completed' then {WHEN} end,
    case when random() < 0.2 then {WHEN} end
from generate_series(1, 400) as n
cross join lateral (
    select (array['requested', 'scheduled', 'completed', 'completed'])[1 + n % 4] as status) as s
join (select id, row_number() over (order by id) as place from customers) as c
    on c.place = 1 + n % 50;
insert into calls (customer_id, staff_id, direction, started_at, outcome)
select c.id, s.user_id, 'outbound', {WHEN},
    (array['connected', 'no_answer', 'demo_booked', null])[1 + (random() * 3)::integer]
from generate_series(1, 400) as n
join (select id, row_number() over (order by id) as place from customers) as c
    on c.place = 1 + n % 50
left join (select user_id, row_number() over (order by user_id) as place from staff) as s
    on s.place = n % 7;
insert into invoices (customer_id, number, status, currency, total_cents, sent_at, paid_at,
    voided_at)
select c.id, 900000 + n, v.status, ($currencies$::text[])[1 + n % cardinality($currencies$)],
    (random() * 100000)::bigint, case when v.status <> 'draft' then {WHEN} end,
    case when v.status = 'paid' then {WHEN} end, case when v.status = 'void' then {WHEN} end
from generate_series(1, 400) as n
join (select id, row_number() over (order by id) as place from customers) as c
    on c.place = 1 + n % 50
cross join lateral (select (array['draft', 'sent', 'paid', 'paid', 'overdue', 'void'])[1 + n % 6]
    as status) as v;
update leads set updated_at = {WHEN}, created_at = {WHEN},
    closed_at = case when closed_at is not null then {WHEN} end
where random() < 0.7;
alter table jobs enable trigger user;
alter table calls enable trigger user;
alter table invoices enable trigger user;
alter table leads enable trigger user;
"""


async def fill(db: Connection, seed: float, currencies: str) -> None:
    """Add random rows of two years, and the first form as `plain_dashboard`."""
    text = FILL.replace("$seed$", str(seed)).replace("$currencies$", f"'{currencies}'")
    text = text.replace(f"cardinality('{currencies}')", f"cardinality('{currencies}'::text[])")
    await db.execute(text)
    first = FIRST_FORM.read_text(encoding="utf-8").replace(".dashboard", ".plain_dashboard")
    # It took the last change of a lead for its closing.
    await db.execute(first.replace("updated_at", "closed_at"))
    await db.execute("reset lock_timeout; reset statement_timeout")


@pytest.mark.parametrize(
    ("seed", "currencies"), [(0.1, "{EUR}"), (0.2, "{EUR,USD,CHF}"), (0.3, "{USD,EUR,EUR,EUR,EUR}")]
)
async def test_indexes_count_what_the_rows_say(
    db: Connection, seed: float, currencies: str
) -> None:
    await fill(db, seed, currencies)
    chosen = random.Random(seed)
    seen = {"several currencies": False, "calls of nobody": False, "nothing": False}
    for _ in range(25):
        first_day = date(2024, 11, 1) + timedelta(days=chosen.randrange(800))
        span = chosen.choice((0, 1, 6, 30, 91, 366))
        asked = (first_day, first_day + timedelta(days=span), chosen.choice(ZONES))
        who = chosen.choice(("agent", "manager", "admin"))
        answer = await call(db, who, QUESTION.format(name="dashboard"), *asked)
        plain = await call(db, who, QUESTION.format(name="plain_dashboard"), *asked)
        assert answer == plain, (who, asked)
        seen["several currencies"] |= len(answer["revenue"]) > 1
        seen["nothing"] |= not answer["jobs_by_status"]
        by_people = sum(each["calls"] for each in answer["top_performers"])
        seen["calls of nobody"] |= who == "manager" and answer["calls"]["total"] > by_people
    assert seen == {
        "several currencies": len(set(currencies.strip("{}").split(","))) > 1,
        "calls of nobody": True,
        "nothing": True,
    }
