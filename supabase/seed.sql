-- Demo data: deterministic (fixed ids, fixed dates, no random numbers), written through the triggers, so that the change feed
-- and the activity log hold it too. Runs as role postgres in an empty, migrated database. Real names or addresses: none.
-- The password of every user is portal-demo.
set lock_timeout = '2s';

create function pg_temp.demo_id(kind text, i bigint)
returns uuid
language sql
immutable
as $$
    select (kind || '0000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid;
$$;
create function pg_temp.pick(choices text[], i bigint)
returns text
language sql
immutable
as $$
    select choices[1 + i % cardinality(choices)];
$$;

-- Users --------------------------------------------------------------------------------------------------------------
create temporary table demo_user as
select pg_temp.demo_id('a', i) as id, email
from unnest(array['admin@crm.example', 'manager@crm.example', 'agent@crm.example', 'former@crm.example']) with ordinality as staff (email, i)
union all
select pg_temp.demo_id('b', i), 'customer' || lpad(i::text, 3, '0') || '@example.com' from generate_series(1, 50) as i
union all
select pg_temp.demo_id('b', 999), 'unlinked@example.com';

insert into auth.users (
    instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
    created_at, updated_at, confirmation_token, recovery_token, email_change_token_new, email_change
)
select
    '00000000-0000-0000-0000-000000000000', u.id, 'authenticated', 'authenticated', u.email,
    '$2b$10$nb2l7zrychxPHmFyLsjnPOARMCGqlEGVKnAg8HcJy.UPxi1RZuU.W', '2026-01-05 08:00:00+00', '{"provider": "email", "providers": ["email"]}', '{}',
    '2026-01-05 08:00:00+00', '2026-01-05 08:00:00+00', '', '', '', ''
from demo_user as u;

insert into auth.identities (id, provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at)
select
    u.id, u.id::text, u.id,
    jsonb_build_object('sub', u.id, 'email', u.email, 'email_verified', true, 'phone_verified', false), 'email',
    null, '2026-01-05 08:00:00+00', '2026-01-05 08:00:00+00'
from demo_user as u;

insert into public.staff (user_id, full_name, email, role, active, created_at) values
(pg_temp.demo_id('a', 1), 'Ada Lindqvist', 'admin@crm.example', 'admin', true, '2026-01-05 08:00:00+00'),
(pg_temp.demo_id('a', 2), 'Marco Bellini', 'manager@crm.example', 'manager', true, '2026-01-05 08:00:00+00'),
(pg_temp.demo_id('a', 3), 'Grace Okoye', 'agent@crm.example', 'agent', true, '2026-01-05 08:00:00+00'),
(pg_temp.demo_id('a', 4), 'Tom Former', 'former@crm.example', 'agent', false, '2026-01-05 08:00:00+00');

-- Customers ----------------------------------------------------------------------------------------------------------
insert into public.customers (id, portal_user_id, name, email, phone, address, branch, preferences, created_at)
select
    pg_temp.demo_id('c', i),
    case when i <= 50 then pg_temp.demo_id('b', i) end,
    case when i % 4 = 0
        then pg_temp.pick(array['Harbour', 'Oakwood', 'Riverside', 'Northgate', 'Elm Street', 'Sunnyside', 'Millbrook'], i / 4)
            || ' ' || pg_temp.pick(array['Apartments', 'Bakery', 'Dental Clinic', 'Hotel', 'Kindergarten', 'Office Park'], i / 28)
        else pg_temp.pick(array['Jo', 'Maya', 'Ivan', 'Lena', 'Omar', 'Ruth', 'Felix', 'Nadia', 'Hugo', 'Clara', 'Dev'], i)
            || ' ' || pg_temp.pick(array['Hansen', 'Costa', 'Novak', 'Meyer', 'Rossi', 'Keller', 'Diaz', 'Brandt', 'Silva', 'Kaya', 'Berg', 'Moreau', 'Wood'], i)
    end,
    'customer' || lpad(i::text, 3, '0') || '@example.com',
    '+49 30 5550' || lpad(i::text, 3, '0'),
    (1 + i * 7 % 180) || ' ' || pg_temp.pick(array['Lime Avenue', 'Station Road', 'Church Lane', 'Park View', 'Mill Street'], i) || ', '
        || pg_temp.pick(array['Berlin', 'Hamburg', 'Leipzig'], i),
    pg_temp.pick(array['north', 'east', 'south'], i),
    case when i % 3 = 0 then '{"language": "de", "newsletter": true}'::jsonb else '{"language": "en"}'::jsonb end,
    timestamptz '2026-01-06 09:00:00+00' + i * interval '53 minutes'
from generate_series(1, 200) as i;

insert into public.leads (
    customer_id, status, score, conversion_probability, source, estimated_value_cents, assigned_to, next_follow_up_at, created_at
)
select
    pg_temp.demo_id('c', i),
    pg_temp.pick(array['new', 'contacted', 'qualified', 'demo_scheduled', 'won', 'lost'], i),
    i * 37 % 101, (i * 29 % 100) / 100.0,
    pg_temp.pick(array['website', 'referral', 'phone', 'fair', 'newsletter'], i),
    20000 + i * 1370,
    case i % 4 when 0 then pg_temp.demo_id('a', 2) when 1 then null else pg_temp.demo_id('a', 3) end,
    case when i % 2 = 0 then timestamptz '2026-11-24 09:00:00+00' + i * interval '45 minutes' end,
    timestamptz '2026-01-06 09:30:00+00' + i * interval '53 minutes'
from generate_series(1, 120) as i;

insert into public.lead_notes (id, customer_id, author_id, kind, body, created_at)
select
    pg_temp.demo_id('2', i), pg_temp.demo_id('c', 1 + (i - 1) % 120), pg_temp.demo_id('a', 1 + i % 3),
    pg_temp.pick(array['call', 'email', 'meeting', 'general'], i),
    pg_temp.pick(array[
        'Wants a yearly maintenance contract for the heating.', 'Asked for an offer in writing.', 'Compares us with two others.',
        'Decides after the summer holidays.', 'Interested in the garden package.'
    ], i),
    timestamptz '2026-02-02 10:00:00+00' + i * interval '5 hours'
from generate_series(1, 240) as i;

insert into public.calls (id, customer_id, staff_id, direction, started_at, ended_at, outcome, notes, next_action, created_at)
select
    pg_temp.demo_id('3', i), pg_temp.demo_id('c', 1 + i * 13 % 200), pg_temp.demo_id('a', 1 + i % 3),
    pg_temp.pick(array['inbound', 'outbound'], i),
    called, called + (1 + i % 20) * interval '1 minute',
    pg_temp.pick(array['connected', 'no_answer', 'voicemail', 'busy', 'demo_booked', 'other'], i),
    pg_temp.pick(array['Agreed on a date.', 'Left a message.', 'Question about the last invoice.'], i),
    case when i % 3 = 0 then 'Call again next week' end,
    called
from generate_series(1, 300) as i
cross join lateral (select timestamptz '2026-03-02 08:00:00+00' + i * interval '7 hours' as called) as t;

-- Jobs ---------------------------------------------------------------------------------------------------------------
insert into public.jobs (
    id, customer_id, title, description, address, status, scheduled_start, scheduled_end, started_at, completed_at, cancelled_at, created_at
)
select
    pg_temp.demo_id('d', i), c.id,
    pg_temp.pick(array[
        'Boiler service', 'Fix leaking tap', 'Air conditioning check', 'Hedge trimming', 'Replace radiator valve', 'Drain cleaning',
        'Lawn care', 'Heat pump inspection', 'Install thermostat', 'Irrigation repair', 'Water heater replacement'
    ], i),
    pg_temp.pick(array[
        'Please ring the bell at the side entrance.', 'The key is with the neighbour on the ground floor.',
        'Parking is in the courtyard.', 'Bring the long ladder.', 'The dog is friendly.'
    ], i / 3),
    c.address, s.status,
    case when s.status <> 'requested' then t.start end,
    case when s.status <> 'requested' then t.start + interval '2 hours' end,
    case when s.status in ('in_progress', 'completed') then t.start + interval '5 minutes' end,
    case when s.status = 'completed' then t.start + interval '95 minutes' end,
    case when s.status = 'cancelled' then t.start - interval '1 day' end,
    t.start - interval '6 days'
from generate_series(1, 1000) as i
join public.customers as c on c.id = pg_temp.demo_id('c', 1 + (i - 1) % 200)
cross join lateral (
    select pg_temp.pick(
        array['completed', 'scheduled', 'completed', 'requested', 'completed', 'in_progress', 'completed', 'cancelled', 'scheduled', 'completed', 'requested'], i
    ) as status
) as s
cross join lateral (
    select case when s.status in ('completed', 'cancelled')
        then timestamptz '2026-04-01 08:00:00+00' + (i % 230) * interval '1 day' + (i % 8) * interval '1 hour'
        else timestamptz '2026-11-23 08:00:00+00' + (i % 60) * interval '1 day' + (i % 8) * interval '1 hour'
    end as start
) as t
order by i;

insert into public.job_notes (id, job_id, customer_id, author_id, body, cost_cents, created_at)
select
    pg_temp.demo_id('4', i), pg_temp.demo_id('d', i * 2), pg_temp.demo_id('c', 1 + (i * 2 - 1) % 200), pg_temp.demo_id('a', 1 + i % 3),
    pg_temp.pick(array['Spare part from the Leipzig store.', 'Subcontractor needed.', 'Took longer than planned.', 'Warranty case.'], i),
    1500 + i * 310 % 40000, timestamptz '2026-06-01 12:00:00+00' + i * interval '3 hours'
from generate_series(1, 300) as i;

insert into public.job_assignments (job_id, assigned_to, created_at)
select j.id, pg_temp.demo_id('a', 2 + i % 2), j.created_at + interval '1 hour'
from generate_series(1, 1000) as i
join public.jobs as j on j.id = pg_temp.demo_id('d', i)
where j.status in ('scheduled', 'in_progress') and i % 3 <> 0
order by i;

-- Invoices: drafts first, then items, then their way through the states ------------------------------------------------
insert into public.invoices (id, customer_id, job_id, series, currency, due_on, notes, created_at)
select
    pg_temp.demo_id('e', i), pg_temp.demo_id('c', 1 + (i - 1) % 200), pg_temp.demo_id('d', i),
    case when i % 5 = 0 then 'CARE' else 'INV' end, 'EUR', date '2026-05-01' + (i % 200)::integer,
    case when i % 4 = 0 then 'Thank you for your trust.' end,
    timestamptz '2026-04-15 09:00:00+00' + i * interval '8 hours'
from generate_series(1, 600) as i;

insert into public.invoice_items (id, invoice_id, customer_id, position, description, quantity, unit_price_cents, created_at)
select
    pg_temp.demo_id('5', (i - 1) * 3 + p), pg_temp.demo_id('e', i), pg_temp.demo_id('c', 1 + (i - 1) % 200), p,
    pg_temp.pick(array['Call-out charge', 'Labour, per hour', 'Spare parts', 'Disposal', 'Materials'], i + p),
    1 + (i + p) % 4, 1900 + (i * 113 + p * 977) % 18000,
    timestamptz '2026-04-15 09:00:00+00' + i * interval '8 hours'
from generate_series(1, 600) as i
cross join lateral generate_series(1, 1 + i % 3) as p;

-- 40 stay drafts. In the order of their numbers.
update public.invoices as v set status = 'sent', sent_at = v.created_at + interval '1 hour'
from (select d.id from public.invoices as d order by d.id) as ordered
where v.id = ordered.id and v.id <= pg_temp.demo_id('e', 560);
update public.invoices set status = 'paid', paid_at = sent_at + interval '9 days'
where status = 'sent' and right(id::text, 12)::bigint % 10 < 6;
update public.invoices set status = 'overdue' where status = 'sent' and right(id::text, 12)::bigint % 10 in (6, 7);
update public.invoices set status = 'void', voided_at = sent_at + interval '2 days'
where status = 'sent' and right(id::text, 12)::bigint % 10 = 8;

-- Messages -----------------------------------------------------------------------------------------------------------
insert into public.messages (id, customer_id, sender, sender_id, sender_name, body, read_at, created_at)
select
    pg_temp.demo_id('f', i), c.id,
    case when i % 5 < 3 then 'staff' else 'customer' end,
    case when i % 5 < 3 then pg_temp.demo_id('a', 1 + i % 3) else c.portal_user_id end,
    case when i % 5 < 3 then pg_temp.pick(array['Ada Lindqvist', 'Marco Bellini', 'Grace Okoye'], i) else c.name end,
    case when i % 5 < 3
        then pg_temp.pick(array[
            'Your appointment is confirmed.', 'Our technician is on the way.', 'The spare part has arrived.', 'We have sent you the invoice.',
            'Thank you for your call today.', 'Could you send us a photo of the valve?', 'The work is done. Please tell us if anything is wrong.'
        ], i)
        else pg_temp.pick(array[
            'Can you come a little earlier?', 'Thank you, that works for me.', 'The tap is dripping again.', 'Please call me before you come.',
            'I have paid the invoice.', 'Which day suits you?'
        ], i)
    end,
    case when i <= 1700 then sent + interval '40 minutes' end, sent
from generate_series(1, 2000) as i
join public.customers as c on c.id = pg_temp.demo_id('c', 1 + (i - 1) % 200)
cross join lateral (select timestamptz '2026-05-04 08:00:00+00' + i * interval '140 minutes' as sent) as t
order by i;

-- Loyalty: awards first, so that every redemption is covered -----------------------------------------------------------
insert into public.loyalty_transactions (id, customer_id, points, kind, reason, created_at)
select
    pg_temp.demo_id('1', i), pg_temp.demo_id('c', 1 + (i - 1) % 200),
    case k.kind when 'redeem' then -40 when 'adjust' then -5 when 'bonus' then 50 else 80 + i % 60 end, k.kind,
    case k.kind when 'redeem' then 'Voucher for a service' when 'adjust' then 'Correction' when 'bonus' then 'Welcome' else 'Completed job' end,
    timestamptz '2026-05-05 10:00:00+00' + i * interval '3 hours'
from generate_series(1, 1500) as i
cross join lateral (
    select (array['bonus', 'award', 'award', 'redeem', 'award', 'adjust', 'award', 'redeem'])[1 + (i - 1) / 200] as kind
) as k
order by i;

drop table demo_user;
drop function pg_temp.demo_id(text, bigint);
drop function pg_temp.pick(text[], bigint);
