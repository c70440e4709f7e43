-- Purpose: attach the checks that name bad values. They are evaluated in WHEN: a good row calls no function but is_currency.
-- Tables:  triggers on staff, customers, leads, lead_notes, calls, jobs, job_notes, invoices, invoice_items, messages,
--          loyalty_transactions.
-- Locks:   share row exclusive on each of them for an instant.
-- Undo:    drop the triggers named a_refuse_* and n_refuse_* (after the state machines).
set lock_timeout = '2s';
set statement_timeout = '60s';

create trigger a_refuse_text before insert or update on public.staff
for each row when (char_length(new.full_name) not between 1 and 200 or char_length(new.email) not between 3 and 320)
execute function private.refuse_text('full_name', '1', '200', 'email', '3', '320');
create trigger a_refuse_text before insert or update on public.customers
for each row when (char_length(new.name) not between 1 and 200 or char_length(new.email) not between 3 and 320 or char_length(new.phone) > 50 or char_length(new.address) > 1000 or char_length(new.branch) > 100)
execute function private.refuse_text('name', '1', '200', 'email', '3', '320', 'phone', '0', '50', 'address', '0', '1000', 'branch', '0', '100');
create trigger a_refuse_text before insert or update on public.leads
for each row when (char_length(new.source) > 100)
execute function private.refuse_text('source', '0', '100');
create trigger a_refuse_text before insert or update on public.lead_notes
for each row when (char_length(new.body) not between 1 and 10000)
execute function private.refuse_text('body', '1', '10000');
create trigger a_refuse_text before insert or update on public.calls
for each row when (char_length(new.notes) > 10000 or char_length(new.next_action) > 1000)
execute function private.refuse_text('notes', '0', '10000', 'next_action', '0', '1000');
create trigger a_refuse_text before insert or update on public.jobs
for each row when (char_length(new.title) not between 1 and 200 or char_length(new.description) > 10000 or char_length(new.address) > 1000)
execute function private.refuse_text('title', '1', '200', 'description', '0', '10000', 'address', '0', '1000');
create trigger a_refuse_text before insert or update on public.job_notes
for each row when (char_length(new.body) not between 1 and 10000)
execute function private.refuse_text('body', '1', '10000');
create trigger a_refuse_text before insert or update on public.invoices
for each row when (char_length(new.notes) > 10000)
execute function private.refuse_text('notes', '0', '10000');
create trigger a_refuse_text before insert or update on public.invoice_items
for each row when (char_length(new.description) not between 1 and 1000)
execute function private.refuse_text('description', '1', '1000');
create trigger a_refuse_text before insert or update on public.messages
for each row when (char_length(new.body) not between 1 and 10000)
execute function private.refuse_text('body', '1', '10000');
create trigger a_refuse_text before insert or update on public.loyalty_transactions
for each row when (char_length(new.reason) > 1000)
execute function private.refuse_text('reason', '0', '1000');
create trigger n_refuse_preferences before insert or update on public.customers
for each row when (jsonb_typeof(new.preferences) <> 'object' or pg_column_size(new.preferences) > 65536)
execute function private.refuse_value('preferences', 'must be a JSON object of at most 64 KiB', 'Send an object, for example {"language": "en"}.');
create trigger n_refuse_currency before insert or update on public.leads
for each row when (not private.is_currency(new.currency))
execute function private.refuse_value('currency', 'is not a currency', 'Use an ISO 4217 code, for example EUR.');
create trigger n_refuse_score before insert or update on public.leads
for each row when (new.score not between 0 and 100)
execute function private.refuse_value('score', 'is out of range', 'score is 0 to 100.');
create trigger n_refuse_probability before insert or update on public.leads
for each row when (new.conversion_probability not between 0 and 1)
execute function private.refuse_value('conversion_probability', 'is out of range', 'conversion_probability is 0 to 1.');
create trigger n_refuse_currency before insert or update on public.invoices
for each row when (not private.is_currency(new.currency))
execute function private.refuse_value('currency', 'is not a currency', 'Use an ISO 4217 code, for example EUR.');
create trigger n_refuse_quantity before insert or update on public.invoice_items
for each row when (new.quantity not between 1 and 1000000)
execute function private.refuse_value('quantity', 'is out of range', 'quantity is 1 to 1,000,000.');
create trigger n_refuse_price before insert or update on public.invoice_items
for each row when (new.unit_price_cents not between 0 and 100000000)
execute function private.refuse_value('unit_price_cents', 'is out of range', 'unit_price_cents is 0 to 100,000,000.');
create trigger a_refuse_points before insert or update on public.loyalty_transactions
for each row when (new.points = 0 or new.points not between -1000000000 and 1000000000 or (new.kind = 'redeem' and new.points > 0) or (new.kind in ('award', 'bonus') and new.points < 0))
execute function private.refuse_value('points', 'does not fit the kind of entry', 'award and bonus take positive points, redeem negative ones, adjust either; never 0.');
create trigger n_refuse_unscheduled before insert or update on public.jobs
for each row when (new.status = 'scheduled' and new.scheduled_start is null)
execute function private.refuse_value('scheduled_start', 'is required while the job is scheduled', 'Set scheduled_start together with the status.');
create trigger n_refuse_end before insert or update on public.jobs
for each row when (new.scheduled_end < new.scheduled_start)
execute function private.refuse_value('scheduled_end', 'is before scheduled_start', 'Let the job end after it starts.');
create trigger n_refuse_end before insert or update on public.calls
for each row when (new.ended_at < new.started_at)
execute function private.refuse_value('ended_at', 'is before started_at', 'Let the call end after it starts.');
