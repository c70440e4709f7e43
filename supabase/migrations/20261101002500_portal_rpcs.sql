-- Purpose: the three calls a portal lives on. Invoker and stable: one call reads one snapshot, as the caller.
-- Tables:  reads the portal tables, public.sync_scopes and public.sync_changes as the caller.
-- Locks:   none.
-- Undo:    drop function public.portal_snapshot, public.portal_pull, public.portal_head;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function public.portal_head(scope text)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
    customer uuid := private.scope_customer(scope);
    head public.sync_scopes := private.scope_head(scope);
begin
    return jsonb_build_object(
        'scope', head.scope, 'epoch', head.epoch, 'n', head.n, 'floor', head.floor, 'now', now(),
        'digest', private.portal_digest(customer)
    );
end;
$$;
comment on function public.portal_head(text) is 'Head of a scope and the digest of its slice: is a cache current and whole?';

create function public.portal_snapshot(scope text)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
begin
    return public.portal_head(scope)
        || jsonb_build_object('tables', private.portal_tables(private.scope_customer(scope)));
end;
$$;
comment on function public.portal_snapshot(text) is 'The whole slice of a scope with the cursor (epoch, n) from which portal_pull continues without gap or overlap.';

create function public.portal_pull(scope text, epoch uuid, after_n bigint, "limit" integer default 500)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
    head public.sync_scopes;
    reason text;
    changes jsonb;
begin
    perform private.scope_customer(scope);
    if after_n is null or after_n < 0 then
        raise exception 'malformed cursor'
            using errcode = 'invalid_parameter_value',
                detail = format('after_n: %s', coalesce(after_n::text, 'null')),
                hint = 'after_n is the last n that was applied, 0 or more.';
    elsif "limit" is null or "limit" not between 1 and 5000 then
        raise exception 'malformed limit'
            using errcode = 'invalid_parameter_value',
                detail = format('limit: %s', coalesce("limit"::text, 'null')),
                hint = 'limit is 1 to 5000.';
    end if;
    head := private.scope_head(scope);
    reason := case
        when epoch is distinct from head.epoch then 'epoch'
        when after_n < head.floor then 'floor'
        when after_n > head.n then 'ahead'
    end;
    if reason is null and after_n < head.n then
        select jsonb_agg(
            jsonb_build_object(
                'n', c.n, 'table', c.table_name, 'row_id', c.row_id, 'op', c.op, 'version', c.version, 'row', c."row",
                'request_id', c.request_id, 'committed_at', c.committed_at
            ) order by c.n
        ) into changes
        from (
            select l.*
            from public.sync_changes as l
            where l.scope = head.scope and l.n > after_n
            order by l.n
            limit "limit"
        ) as c;
    end if;
    return jsonb_build_object(
        'scope', head.scope, 'epoch', head.epoch, 'n', head.n, 'floor', head.floor, 'now', now(),
        'must_resync', reason is not null, 'reason', reason, 'changes', coalesce(changes, '[]'::jsonb)
    );
end;
$$;
comment on function public.portal_pull(text, uuid, bigint, integer) is 'Changes after a cursor, dense and in order, or must_resync with the reason: epoch, floor or ahead.';

revoke execute on function public.portal_head(text), public.portal_snapshot(text),
    public.portal_pull(text, uuid, bigint, integer) from public, anon;
grant execute on function public.portal_head(text), public.portal_snapshot(text),
    public.portal_pull(text, uuid, bigint, integer) to authenticated, service_role;
