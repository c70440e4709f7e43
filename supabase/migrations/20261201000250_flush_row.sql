-- Purpose: the deferred trigger behind the change feed. The last event of a transaction numbers and logs all its changes; of a transaction
--          with one change, which nearly every one is, it needs two statements. Why so: docs/decisions/0018.
-- Tables:  public.sync_scopes, public.sync_changes and private.sync_pending at run time.
-- Locks:   at run time the rows of the touched scopes, in sorted order, for the last moment of the transaction.
-- Undo:    drop function private.flush_row.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.flush_row()
returns trigger
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
    tx text := pg_current_xact_id();
    -- As text in the database's collation, which indexes serve; tg_table_name has another and would pass it on.
    its_table text := tg_table_name;
    entering jsonb;
    seen_by text;
    was_seen_by text;
    leaving text;
    here uuid;
    head record;
    done text;
begin
    if tg_op = 'INSERT' then
        entering := to_jsonb(new);
        seen_by := private.visible_scope(its_table, entering);
        if seen_by is null then
            entering := null;
        end if;
    else
        was_seen_by := private.visible_scope(its_table, to_jsonb(old));
        if tg_op = 'UPDATE' then
            entering := to_jsonb(new);
            seen_by := private.visible_scope(its_table, entering);
            if was_seen_by is distinct from seen_by then
                leaving := case when was_seen_by is not null then 'remove' end;
            elsif new.version = old.version then
                entering := null;
            end if;
            if seen_by is null then
                entering := null;
            end if;
        elsif its_table = 'customers' then
            was_seen_by := 'customer:' || old.id;
            leaving := 'erase';
        elsif was_seen_by is not null then
            leaving := 'remove';
        end if;
    end if;

    if current_setting('portal_sync.changes', true) is distinct from tx || ' 1 ' or leaving is not null then
        perform private.hold_change(
            tx, its_table, case tg_op when 'DELETE' then old.id else new.id end, case tg_op when 'DELETE' then old.version + 1 else new.version end,
            was_seen_by, leaving, seen_by, entering
        );
        return null;
    end if;
    -- The only change of its transaction, which nearly every one is.
    done := set_config('portal_sync.changes', '', true);
    if entering is null then
        return null;
    end if;
    here := private.sync_home();
    update public.sync_scopes as s
    set n = s.n + 1, home = here, epoch = case when s.home = here then s.epoch else private.epoch_at(s.epoch, s.home, here) end
    where s.scope = seen_by
    returning s.epoch, s.n into head;
    if not found then
        insert into public.sync_scopes as s (scope, n, home) values (seen_by, 1, here)
        on conflict (scope) do update set n = s.n + 1, home = here,
            epoch = case when s.home = here then s.epoch else private.epoch_at(s.epoch, s.home, here) end
        returning s.epoch, s.n into head;
    end if;
    insert into public.sync_changes (scope, n, table_name, row_id, op, version, "row", request_id, committed_at)
    values (seen_by, head.n, its_table, new.id, 'upsert', new.version, entering, private.request_id(), clock_timestamp());
    done := private.ring(seen_by, 'sync', jsonb_build_object('epoch', head.epoch, 'n', head.n));
    return null;
end;
$$;
comment on function private.flush_row() is 'Deferred, once per changed row of a portal table: writes down what the change means to the scopes that see a difference. The last event of a transaction numbers, logs and rings.';
revoke execute on function private.flush_row() from public;
