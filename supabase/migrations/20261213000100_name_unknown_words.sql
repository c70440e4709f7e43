-- Purpose: a word out of its list, an amount out of its range or a series out of its form is refused by name, with detail and hint,
--          as the other bad values are since 20261102001700. From functions that run as their owner PostgreSQL's own refusal told the
--          whole row, to the caller and to the log.
-- Tables:  triggers on staff, leads, lead_notes, calls, job_notes, invoices, loyalty_transactions.
-- Locks:   share row exclusive on each of them for an instant.
-- Undo:    drop the triggers made here.
set lock_timeout = '2s';
set statement_timeout = '60s';

create trigger n_refuse_role before insert or update on public.staff
for each row when (new.role <> all (array['admin', 'manager', 'agent']))
execute function private.refuse_value('role', 'is not a role', 'role is admin, manager or agent.');
create trigger n_refuse_status before insert or update on public.leads
for each row when (new.status <> all (array['new', 'contacted', 'qualified', 'demo_scheduled', 'won', 'lost']))
execute function private.refuse_value('status', 'is not a status of a lead', 'status is new, contacted, qualified, demo_scheduled, won or lost.');
create trigger n_refuse_value before insert or update on public.leads
for each row when (new.estimated_value_cents not between 0 and 100000000000000)
execute function private.refuse_value('estimated_value_cents', 'is out of range', 'estimated_value_cents is 0 to 100,000,000,000,000.');
create trigger n_refuse_kind before insert or update on public.lead_notes
for each row when (new.kind <> all (array['call', 'email', 'meeting', 'general']))
execute function private.refuse_value('kind', 'is not a kind of note', 'kind is call, email, meeting or general.');
create trigger n_refuse_direction before insert or update on public.calls
for each row when (new.direction <> all (array['inbound', 'outbound']))
execute function private.refuse_value('direction', 'is not a direction', 'direction is inbound or outbound.');
create trigger n_refuse_outcome before insert or update on public.calls
for each row when (new.outcome <> all (array['connected', 'no_answer', 'voicemail', 'busy', 'demo_booked', 'other']))
execute function private.refuse_value('outcome', 'is not an outcome', 'outcome is connected, no_answer, voicemail, busy, demo_booked or other.');
create trigger n_refuse_cost before insert or update on public.job_notes
for each row when (new.cost_cents not between 0 and 100000000000)
execute function private.refuse_value('cost_cents', 'is out of range', 'cost_cents is 0 to 100,000,000,000.');
create trigger n_refuse_series before insert or update on public.invoices
for each row when (new.series !~ '^[A-Z0-9-]{1,16}$')
execute function private.refuse_value('series', 'is not a series of numbers', 'A series is 1 to 16 of A-Z, 0-9 and -, for example INV.');
create trigger n_refuse_total before insert or update on public.invoices
for each row when (new.total_cents not between 0 and 100000000000000)
execute function private.refuse_value('total_cents', 'is out of range', 'The items of an invoice come to 100,000,000,000,000 at most.');
create trigger a_refuse_kind before insert or update on public.loyalty_transactions
for each row when (new.kind <> all (array['award', 'bonus', 'adjust', 'redeem']))
execute function private.refuse_value('kind', 'is not a kind of entry', 'kind is award, bonus, adjust or redeem.');
