-- Purpose: a pull from a good cursor is one statement: head and changes are read together, and neither the form of scope and epoch nor a
--          function per step is asked. What that statement does not find is looked at by the steps of before, with the same answers
--          and refusals. It returns json, because each row was built into three jsonb objects on its way out.
-- Tables:  reads public.sync_scopes and public.sync_changes as the caller.
-- Locks:   none.
-- Undo:    drop function public.portal_pull, private.answer_bad_cursor; restore portal_pull of 20261128000500.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.answer_bad_cursor(scope text, epoch text, after_n text, "limit" text)
returns json
language plpgsql
stable
set search_path = ''
as $$
declare
    head public.sync_scopes;
    last bigint;
    reason text;
begin
    perform private.scope_customer(scope);
    -- Digits first, range afterwards: no cast can fail, so every refusal is one of ours.
    if epoch is null or epoch !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
        perform private.refuse_argument('cursor', 'epoch', epoch, 'epoch is the uuid that came with the last snapshot, pull or head.');
    elsif after_n is null or after_n !~ '^[0-9]{1,18}$' then
        perform private.refuse_argument('cursor', 'after_n', after_n, 'after_n is the last n that was applied, 0 or more.');
    elsif "limit" is null or "limit" !~ '^[0-9]{1,9}$' or "limit"::integer not between 1 and 5000 then
        perform private.refuse_argument('limit', 'limit', "limit", 'limit is 1 to 5000.');
    end if;
    last := after_n::bigint;
    head := private.scope_head(scope);
    reason := case
        when epoch::uuid is distinct from head.epoch then 'epoch'
        when last < head.floor then 'floor'
        else 'ahead'
    end;
    return json_build_object(
        'scope', head.scope, 'epoch', head.epoch, 'n', head.n, 'floor', head.floor, 'now', now(),
        'must_resync', true, 'reason', reason, 'changes', '[]'::json, 'problem', private.pull_problem(reason, head, last)
    );
end;
$$;
comment on function private.answer_bad_cursor(text, text, text, text) is
'What portal_pull says of a cursor that it cannot go on from: 22023 for a malformed one, 42501 without the scope, must_resync with the reason otherwise.';
revoke execute on function private.answer_bad_cursor(text, text, text, text) from public;
grant execute on function private.answer_bad_cursor(text, text, text, text) to authenticated, service_role;

drop function public.portal_pull(text, text, text, text);

create function public.portal_pull(scope text, epoch text, after_n text, "limit" text default '500')
returns json
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
as $$
declare
    here uuid := private.home_here();
    answer json;
begin
    -- As few expressions and statements as possible: each costs what it takes to prepare it, and that is most of a call. A scope that is
    -- found needs no look at its form, nor does an epoch that is the scope's.
    if after_n ~ '^[0-9]{1,18}$' and "limit" ~ '^[0-9]{1,9}$' and "limit"::integer between 1 and 5000 then
        select row_to_json(page) into answer
        from (
            select s.scope, lower(portal_pull.epoch) as epoch, s.n, s.floor, now() as now, false as must_resync, null as reason,
                coalesce(
                    case
                        when after_n::bigint < s.n then (
                            select json_agg(c order by c.n)
                            from (
                                select l.n, l.table_name as "table", l.row_id, l.op, l.version, l."row", l.request_id, l.committed_at
                                from public.sync_changes as l
                                where l.scope = s.scope and l.n > after_n::bigint
                                order by l.n
                                limit "limit"::integer
                            ) as c
                        )
                    end, '[]'::json
                ) as changes, null as problem
            from public.sync_scopes as s
            where s.scope = portal_pull.scope
                and lower(portal_pull.epoch) = case when s.home = here then s.epoch else private.epoch_at(s.epoch, s.home, here) end::text
                and after_n::bigint between s.floor and s.n
        ) as page;
    end if;
    if answer is null then
        return private.answer_bad_cursor(scope, epoch, after_n, "limit");
    end if;
    return answer;
end;
$$;
comment on function public.portal_pull(text, text, text, text) is 'Changes after a cursor, dense and in order, or must_resync with the reason: epoch, floor or ahead. epoch is a uuid, after_n and limit are whole numbers, 0 or more and 1 to 5000.';
revoke execute on function public.portal_pull(text, text, text, text) from public, anon;
grant execute on function public.portal_pull(text, text, text, text) to authenticated, service_role;
