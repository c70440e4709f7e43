"""Change feeds as they are usually built: each loses changes or blocks writers."""

_VISIBLE_SCOPE = """
    create or replace function private.visible_scope(its_table text, "row" jsonb) returns text
    language sql set search_path = '' as $$
        select case
            when "row" ->> 'deleted_at' is null
                and not (its_table = 'invoices' and "row" ->> 'status' = 'draft')
            then 'customer:' || ("row" ->> case its_table when 'customers' then 'id'
                else 'customer_id' end)
        end;
    $$;
"""

AT_THE_WRITE = """
    do $$
    declare
        made record;
    begin
        for made in
            select t.tgname, t.tgrelid::regclass as relation, pg_get_triggerdef(t.oid) as written
            from pg_trigger as t where t.tgfoid = 'private.flush_row()'::regprocedure
        loop
            execute format('drop trigger %I on %s', made.tgname, made.relation);
            execute replace(made.written, ' DEFERRABLE INITIALLY DEFERRED', '');
        end loop;
    end $$;
"""
"""The counter is taken at the write and its lock kept until the end."""

NUMBERS_FROM_A_SEQUENCE = (
    _VISIBLE_SCOPE
    + AT_THE_WRITE
    + """
    create sequence private.seq;
    grant usage on sequence private.seq to postgres;
    create or replace function private.flush_row() returns trigger language plpgsql
    security definer set search_path = '' set timezone = 'UTC' as $$
    declare
        seen_by text := case when tg_op <> 'DELETE'
            then private.visible_scope(tg_table_name, to_jsonb(new)) end;
        was_seen_by text := case when tg_op <> 'INSERT'
            then private.visible_scope(tg_table_name, to_jsonb(old)) end;
    begin
        if was_seen_by is not null and was_seen_by is distinct from seen_by then
            insert into public.sync_changes
                (n, committed_at, scope, table_name, row_id, op, version)
            values (nextval('private.seq'), now(), was_seen_by, tg_table_name, old.id, 'remove',
                old.version + 1);
        end if;
        if seen_by is not null and (tg_op = 'INSERT' or seen_by is distinct from was_seen_by
            or new.version <> old.version)
        then
            insert into public.sync_changes
                (n, committed_at, scope, table_name, row_id, op, version, "row")
            values (nextval('private.seq'), now(), seen_by, tg_table_name, new.id, 'upsert',
                new.version, to_jsonb(new));
        end if;
        return null;
    end $$;
"""
)
"""The usual recipe: entries are numbered when they are written."""

NUMBERS_DRAWN_EARLY = (
    _VISIBLE_SCOPE
    + """
    create function private.draw_early() returns trigger
    language plpgsql security definer set search_path = '' set timezone = 'UTC' as $$
    declare
        seen_by text := case when tg_op <> 'DELETE'
            then private.visible_scope(tg_table_name, to_jsonb(new)) end;
        was_seen_by text := case when tg_op <> 'INSERT'
            then private.visible_scope(tg_table_name, to_jsonb(old)) end;
    begin
        if was_seen_by is not null and was_seen_by is distinct from seen_by then
            insert into private.sync_pending (txid, scope, table_name, row_id, op, version)
            values (pg_current_xact_id(), was_seen_by, tg_table_name, old.id, 'remove',
                old.version + 1);
        end if;
        if seen_by is not null then
            insert into private.sync_pending (txid, scope, table_name, row_id, op, version, "row")
            values (pg_current_xact_id(), seen_by, tg_table_name, new.id, 'upsert', new.version,
                to_jsonb(new));
        end if;
        return null;
    end $$;
    do $$
    declare
        portal_table text;
    begin
        for portal_table in
            select distinct t.tgrelid::regclass from pg_trigger as t
            where t.tgfoid = 'private.flush_row()'::regprocedure
        loop
            execute format(
                'create trigger early after insert or update or delete on %s '
                'for each row execute function private.draw_early()', portal_table);
        end loop;
    end $$;
    create or replace function private.flush_row() returns trigger
    language plpgsql security definer set search_path = '' as $$
    declare
        change private.sync_pending;
        head public.sync_scopes;
    begin
        -- What some transactions do between their write and their end, while others overtake them.
        perform pg_sleep(case when random() < 0.2 then 0.1 else 0 end);
        for change in
            delete from private.sync_pending as p where p.txid = pg_current_xact_id() returning p.*
        loop
            insert into public.sync_scopes as s (scope, n) values (change.scope, change.seq)
            on conflict (scope) do update set n = greatest(s.n, change.seq) returning s.* into head;
            insert into public.sync_changes
                (scope, n, table_name, row_id, op, version, "row", request_id, committed_at)
            values (change.scope, change.seq, change.table_name, change.row_id, change.op,
                change.version, change."row", private.request_id(), clock_timestamp());
            perform private.ring_scopes(array[change.scope], array[head.epoch], array[head.n]);
        end loop;
        return null;
    end $$;
"""
)
"""Numbered when written, logged at commit: what commits behind a larger number is overtaken."""
