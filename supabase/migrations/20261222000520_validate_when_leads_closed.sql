-- Purpose: check that each lead that is there has the time of its closing if it is closed, and none if not, without blocking readers and writers.
-- Tables:  public.leads.
-- Locks:   share update exclusive while its rows are read.
-- Undo:    nothing to undo.
set lock_timeout = '2s';
set statement_timeout = '10min';

alter table public.leads validate constraint leads_closed_has_time;
