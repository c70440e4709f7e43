-- Purpose: what a flush does besides numbering: take payloads back, forget erased scopes, ring the doorbells.
-- Tables:  public.sync_scopes, public.sync_changes and realtime.messages at run time.
-- Locks:   none of their own; the flush holds the rows of the touched scopes.
-- Undo:    drop function private.blank_removed, private.erase_scopes, private.ring_doorbells;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.blank_removed(scopes text[], first_ns bigint[])
returns void
language sql
security definer
set search_path = ''
set enable_hashjoin = off
set enable_mergejoin = off
as $$
    update public.sync_changes as earlier
    set "row" = null
    from unnest(scopes, first_ns) as touched (scope, first_n)
    join public.sync_changes as removed
        on removed.scope = touched.scope and removed.n >= touched.first_n and removed.op = 'remove'
    where earlier.row_id = removed.row_id
        and earlier."row" is not null
        and earlier.scope = removed.scope
        and earlier.table_name = removed.table_name
        and earlier.n < removed.n;
$$;
comment on function private.blank_removed(text[], bigint[]) is 'Takes back the payloads of rows that left a scope: blanks their entries before each remove from first_n on.';
revoke execute on function private.blank_removed(text[], bigint[]) from public;

create function private.erase_scopes(scopes text[], erased_at bigint[])
returns void
language plpgsql
security definer
set search_path = ''
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    up_to bigint[];
begin
    -- Cascades of the deletion are captured after the erasure; they belong to it, unless the customer was inserted anew.
    select array_agg(case when c.id is null then s.n else e.n end order by e.place) into up_to
    from unnest(scopes, erased_at) with ordinality as e (scope, n, place)
    join public.sync_scopes as s on s.scope = e.scope
    left join public.customers as c on c.id = substr(e.scope, 10)::uuid;
    delete from public.sync_changes as l
    using unnest(scopes, up_to) as erased (scope, n)
    where l.scope = erased.scope and l.n <= erased.n;
    -- Written to again by the same transaction: a new beginning, not an end.
    update public.sync_scopes as s
    set epoch = gen_random_uuid(), floor = erased.n
    from unnest(scopes, up_to) as erased (scope, n)
    where s.scope = erased.scope and s.n > erased.n;
    delete from public.sync_scopes as s
    using unnest(scopes, up_to) as erased (scope, n)
    where s.scope = erased.scope and s.n = erased.n;
end;
$$;
comment on function private.erase_scopes(text[], bigint[]) is 'Forgets scopes whose customer is gone; of a customer inserted anew, everything up to the erasure.';
revoke execute on function private.erase_scopes(text[], bigint[]) from public;

create function private.ring_doorbells(scopes text[])
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform realtime.send(
        jsonb_build_object('epoch', s.epoch, 'n', coalesce(s.n, 0)), 'sync', rung.scope, true
    )
    from unnest(scopes) as rung (scope)
    left join public.sync_scopes as s on s.scope = rung.scope;
exception
    when others then
        -- A lost ring costs a verify interval; a failed write costs the customer's change.
        raise warning 'the doorbell could not be rung: %', sqlerrm;
end;
$$;
comment on function private.ring_doorbells(text[]) is 'Sends {epoch, n} to the private topic of each scope; {null, 0} for one that was erased. Never fails the transaction.';
revoke execute on function private.ring_doorbells(text[]) from public;
