-- Purpose: the dashboard counts everybody's calls of a day by their time alone, and one person's by person, time and outcome.
-- Tables:  indexes on calls.
-- Locks:   share on calls while the indexes are built, access exclusive for an instant to drop the old ones; on a large table build
--          them concurrently beforehand under these names and take their lines out.
-- Undo:    create calls_staff_id_idx as in 20261101000900 and calls_started_at_idx as in 20261103000700; drop the new ones.
set lock_timeout = '2s';
set statement_timeout = '10min';

create index calls_staff_started_idx on public.calls (staff_id, started_at desc) include (outcome);
drop index public.calls_staff_id_idx;
create index calls_by_time_idx on public.calls (started_at);
drop index public.calls_started_at_idx;
