-- Purpose: portal_pull refuses a malformed epoch, cursor or limit in its own words, with detail and hint: its arguments are texts
--          that it checks itself. Through the API nothing changes: JSON numbers and texts both fit. An answer that says
--          must_resync names the problem as an error would.
-- Tables:  reads public.sync_scopes and public.sync_changes as the caller.
-- Locks:   none.
-- Undo:    drop function public.portal_pull(text, text, text, text), private.pull_problem; restore portal_pull of 20261101002500.
set lock_timeout = '2s';
set statement_timeout = '60s';

drop function public.portal_pull(text, uuid, bigint, integer);

create function private.refuse_argument(what text, argument text, given text, hint text)
returns void
language plpgsql
immutable
set search_path = ''
as $$
begin
    raise exception 'malformed %', what
        using errcode = 'invalid_parameter_value',
            detail = format('%s: %s', argument, left(coalesce(given, 'null'), 100)),
            hint = refuse_argument.hint;
end;
$$;
comment on function private.refuse_argument(text, text, text, text) is 'Raises 22023: malformed <what>, with the argument as detail and what it should be as hint.';
revoke execute on function private.refuse_argument(text, text, text, text) from public;
grant execute on function private.refuse_argument(text, text, text, text) to authenticated, service_role;

create function private.pull_problem(reason text, head public.sync_scopes, after_n bigint)
returns jsonb
language sql
immutable
set search_path = ''
as $$
    select jsonb_build_object(
        'code', '22023',
        'message', case reason
            when 'epoch' then 'the cursor is of another epoch'
            when 'floor' then 'the cursor is older than the log'
            else 'the cursor is from the future'
        end,
        'detail', format('after_n: %s, n: %s, floor: %s, epoch: %s', after_n, head.n, head.floor, head.epoch),
        'hint', 'Take portal_snapshot and go on from the cursor that it gives.'
    );
$$;
comment on function private.pull_problem(text, public.sync_scopes, bigint) is 'Why a cursor cannot be continued, in the form of an error: code, message, detail, hint.';
revoke execute on function private.pull_problem(text, public.sync_scopes, bigint) from public;
grant execute on function private.pull_problem(text, public.sync_scopes, bigint) to authenticated, service_role;

create function public.portal_pull(scope text, epoch text, after_n text, "limit" text default '500')
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
    head public.sync_scopes;
    last bigint;
    most integer;
    reason text;
    changes jsonb;
begin
    perform private.scope_customer(scope);
    -- Digits first, range afterwards: no cast can fail, so every refusal is one of ours.
    if epoch is null or epoch !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        perform private.refuse_argument('cursor', 'epoch', epoch, 'epoch is the uuid that came with the last snapshot, pull or head.');
    elsif after_n is null or after_n !~ '^\d{1,18}$' then
        perform private.refuse_argument('cursor', 'after_n', after_n, 'after_n is the last n that was applied, 0 or more.');
    elsif "limit" is null or "limit" !~ '^\d{1,9}$' or "limit"::integer not between 1 and 5000 then
        perform private.refuse_argument('limit', 'limit', "limit", 'limit is 1 to 5000.');
    end if;
    last := after_n::bigint;
    most := "limit"::integer;
    head := private.scope_head(scope);
    reason := case
        when epoch::uuid is distinct from head.epoch then 'epoch'
        when last < head.floor then 'floor'
        when last > head.n then 'ahead'
    end;
    if reason is null and last < head.n then
        select jsonb_agg(
            jsonb_build_object(
                'n', c.n, 'table', c.table_name, 'row_id', c.row_id, 'op', c.op, 'version', c.version, 'row', c."row",
                'request_id', c.request_id, 'committed_at', c.committed_at
            ) order by c.n
        ) into changes
        from (
            select l.*
            from public.sync_changes as l
            where l.scope = head.scope and l.n > last
            order by l.n
            limit most
        ) as c;
    end if;
    return jsonb_build_object(
        'scope', head.scope, 'epoch', head.epoch, 'n', head.n, 'floor', head.floor, 'now', now(),
        'must_resync', reason is not null, 'reason', reason, 'changes', coalesce(changes, '[]'::jsonb),
        'problem', case when reason is not null then private.pull_problem(reason, head, last) end
    );
end;
$$;
comment on function public.portal_pull(text, text, text, text) is 'Changes after a cursor, dense and in order, or must_resync with the reason: epoch, floor or ahead. epoch is a uuid, after_n and limit are whole numbers, 0 or more and 1 to 5000.';
revoke execute on function public.portal_pull(text, text, text, text) from public, anon;
grant execute on function public.portal_pull(text, text, text, text) to authenticated, service_role;
