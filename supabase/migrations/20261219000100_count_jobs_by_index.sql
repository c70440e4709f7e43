-- Purpose: the dashboard counts the jobs of each status along one narrow index, without grouping rows, and the completed ones of each day
--          without asking whether they were deleted; lists of one status find their newest first. The newest jobs need no other columns any more.
-- Tables:  indexes on jobs.
-- Locks:   share on jobs while the three indexes are built, access exclusive for an instant to drop two; on a large table build
--          them concurrently beforehand under these names and take their lines out.
-- Undo:    create the two indexes that are dropped here as in 20261201000500; drop the three new ones.
set lock_timeout = '2s';
set statement_timeout = '10min';

create index jobs_status_created_idx on public.jobs (status, created_at) include (customer_id, deleted_at)
where deleted_at is null;
create index jobs_newest_first_idx on public.jobs (created_at, id);
drop index public.jobs_newest_first_covering_idx;
create index jobs_completed_at_kept_idx on public.jobs (completed_at) include (customer_id, deleted_at)
where completed_at is not null and deleted_at is null;
drop index public.jobs_completed_at_covering_idx;
