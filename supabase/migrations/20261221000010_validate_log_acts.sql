-- Purpose: check what was logged while the activity log had no checks, without blocking readers and writers.
-- Tables:  public.activity_log.
-- Locks:   share update exclusive while its rows are read.
-- Undo:    nothing to undo.
set lock_timeout = '2s';
set statement_timeout = '10min';

alter table public.activity_log validate constraint activity_log_op_known, validate constraint activity_log_actor_kind_known;
