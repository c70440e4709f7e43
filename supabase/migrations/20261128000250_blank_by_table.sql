-- Purpose: a row that leaves a scope takes back the payloads of its own table only. Ids are the clients' to choose: a message that has
--          the id of a job would have blanked the job's entries, too.
-- Tables:  public.sync_changes at run time.
-- Locks:   none of their own; the flush holds the rows of the touched scopes.
-- Undo:    restore private.blank_removed of 20261102001100 together with the flush of 20261102001150.
set lock_timeout = '2s';
set statement_timeout = '60s';

drop function private.blank_removed(text[], uuid[], bigint[]);

create function private.blank_removed(scopes text[], tables text[], row_ids uuid[], ns bigint[])
returns void
language sql
security definer
set search_path = ''
-- Row by row through sync_changes_payload_idx, however many; the log itself is never read as a whole.
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
as $$
    update public.sync_changes as earlier
    set "row" = null
    from (
        select u.scope, u.table_name, u.row_id, max(u.n) as n
        from unnest(scopes, tables, row_ids, ns) as u (scope, table_name, row_id, n)
        group by u.scope, u.table_name, u.row_id
    ) as removed
    where earlier.row_id = removed.row_id
        and earlier."row" is not null
        and earlier.scope = removed.scope
        and earlier.table_name = removed.table_name
        and earlier.n < removed.n;
$$;
comment on function private.blank_removed(text[], text[], uuid[], bigint[]) is 'Takes back the payloads of rows that left a scope: blanks their entries before the last remove.';
revoke execute on function private.blank_removed(text[], text[], uuid[], bigint[]) from public;
