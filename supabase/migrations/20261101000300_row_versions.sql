-- Purpose: the trigger that owns created_at, updated_at and version on every mutable table.
-- Tables:  none yet; each table attaches private.touch_row() as z_version (BEFORE triggers fire in name order, so it is last).
-- Locks:   none.
-- Undo:    drop function private.touch_row, private.generated_columns;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.generated_columns(relation oid)
returns text[]
language sql
stable
set search_path = ''
as $$
    select coalesce(array_agg(a.attname::text), '{}'::text[])
    from pg_catalog.pg_attribute as a
    where a.attrelid = relation and a.attgenerated <> '' and not a.attisdropped;
$$;
comment on function private.generated_columns(oid) is 'Names of generated columns: in a BEFORE trigger NEW does not hold their values yet, so comparisons must leave them out.';
revoke execute on function private.generated_columns(oid) from public;
grant execute on function private.generated_columns(oid) to authenticated, service_role;

create function private.touch_row()
returns trigger
language plpgsql
set search_path = ''
as $$
declare
    generated text[];
begin
    if tg_op = 'INSERT' then
        -- The table owner may import history with its own dates; an API caller may not.
        if current_user in ('anon', 'authenticated', 'service_role') or new.created_at is null then
            new.created_at := now();
        end if;
        new.updated_at := new.created_at;
        new.version := 1;
        return new;
    end if;

    new.created_at := old.created_at;
    new.updated_at := old.updated_at;
    new.version := old.version;
    generated := private.generated_columns(tg_relid);
    if (generated = '{}' and new is distinct from old)
        or (generated <> '{}' and (to_jsonb(new) - generated) is distinct from (to_jsonb(old) - generated)) then
        new.version := old.version + 1;
        new.updated_at := now();
    end if;
    return new;
end;
$$;
comment on function private.touch_row() is 'BEFORE INSERT OR UPDATE: sets created_at, updated_at and version. An update that changes nothing keeps the version.';
revoke execute on function private.touch_row() from public;
