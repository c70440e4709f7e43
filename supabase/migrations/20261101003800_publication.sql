-- Purpose: let Realtime see the portal tables and the change log (transport postgres_changes).
-- Tables:  customers, jobs, invoices, messages, loyalty_transactions, sync_changes; replica identity stays default,
--          because FULL would show a row's previous owner.
-- Locks:   share update exclusive on each of them for an instant.
-- Undo:    alter publication supabase_realtime drop table ...; never drop the publication itself.
set lock_timeout = '2s';
set statement_timeout = '60s';

do $$
declare
    wanted text;
begin
    if not exists (select from pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
    end if;
    foreach wanted in array array['customers', 'jobs', 'invoices', 'messages', 'loyalty_transactions', 'sync_changes'] loop
        if not exists (
            select from pg_publication_tables
            where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = wanted
        ) then
            execute format('alter publication supabase_realtime add table public.%I', wanted);
        end if;
    end loop;
end;
$$;
