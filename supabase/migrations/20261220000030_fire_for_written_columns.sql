-- Purpose: on jobs, customers and messages, checks fire when an update writes a column that they check. PostgreSQL parses the condition of each
--          trigger that may fire anew in each statement: an update that wrote none of these columns paid as much as one that did.
-- Tables:  triggers on public.jobs, public.customers and public.messages are attached anew, with the same names and conditions. No other BEFORE
--          trigger assigns to the columns named here, and the CHECKs of the tables say the same of rows that are there.
-- Locks:   share row exclusive on the three for an instant.
-- Undo:    attach them again with "before insert or update" as in 20261101001000, 20261101001100, 20261101001500, 20261102001700.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace trigger a_refuse_text before insert or update of title, description, address on public.jobs
for each row when (char_length(new.title) not between 1 and 200 or char_length(new.description) > 10000 or char_length(new.address) > 1000)
execute function private.refuse_text('title', '1', '200', 'description', '0', '10000', 'address', '0', '1000');
create or replace trigger b_keep_customer before update of customer_id on public.jobs
for each row execute function private.keep_customer();
-- It owns the three times beside the status.
create or replace trigger m_status before insert or update of status, started_at, completed_at, cancelled_at on public.jobs
for each row execute function private.apply_job_status();
create or replace trigger n_refuse_end before insert or update of scheduled_start, scheduled_end on public.jobs
for each row when (new.scheduled_end < new.scheduled_start)
execute function private.refuse_value('scheduled_end', 'is before scheduled_start', 'Let the job end after it starts.');
create or replace trigger n_refuse_unscheduled before insert or update of status, scheduled_start on public.jobs
for each row when (new.status = 'scheduled' and new.scheduled_start is null)
execute function private.refuse_value('scheduled_start', 'is required while the job is scheduled', 'Set scheduled_start together with the status.');

create or replace trigger a_refuse_text before insert or update of name, email, phone, address, branch on public.customers
for each row when (
    char_length(new.name) not between 1 and 200 or char_length(new.email) not between 3 and 320
    or char_length(new.phone) > 50 or char_length(new.address) > 1000 or char_length(new.branch) > 100
)
execute function private.refuse_text('name', '1', '200', 'email', '3', '320', 'phone', '0', '50', 'address', '0', '1000', 'branch', '0', '100');
create or replace trigger n_refuse_preferences before insert or update of preferences on public.customers
for each row when (jsonb_typeof(new.preferences) <> 'object' or pg_column_size(new.preferences) > 65536)
execute function private.refuse_value('preferences', 'must be a JSON object of at most 64 KiB', 'Send an object, for example {"language": "en"}.');

create or replace trigger a_refuse_text before insert or update of body on public.messages
for each row when (char_length(new.body) not between 1 and 10000)
execute function private.refuse_text('body', '1', '10000');
create or replace trigger b_keep_customer before update of customer_id on public.messages
for each row execute function private.keep_customer();
