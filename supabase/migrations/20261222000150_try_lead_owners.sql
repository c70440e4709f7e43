-- Purpose: whom the caller may give a new lead to, asked before there is a lead: the lead is written and undone, so what decides is what decides
--          anyway, policies, triggers and keys of public.leads, and nothing repeats them.
-- Tables:  public.customers and leads at run time; nothing stays.
-- Locks:   none. At run time the rows of the staff who are asked for are shared for an instant.
-- Undo:    drop function public.try_lead_owners.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function public.try_lead_owners(owners uuid[])
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    owner uuid;
    customer uuid;
    said text;
    hinted text;
    refused jsonb := '[]'::jsonb;
begin
    if owners is null or cardinality(owners) > 1000 then
        raise exception 'owners must be at most 1000 ids'
            using errcode = 'invalid_parameter_value', detail = format('given: %s', coalesce(cardinality(owners)::text, 'null')),
                hint = 'Ask for more in several calls.';
    end if;
    for owner in select distinct o from unnest(owners) as o where o is not null loop
        begin
            insert into public.customers (name) values ('A trial') returning id into customer;
            insert into public.leads (customer_id, assigned_to) values (customer, owner);
            raise exception 'undone' using errcode = 'PS004', detail = 'It was a trial.', hint = 'None is needed.';
        exception
            when sqlstate 'PS004' then
                null;
            when sqlstate 'PS001' or sqlstate 'PS002' or query_canceled then
                raise;
            when others then
                get stacked diagnostics said = message_text, hinted = pg_exception_hint;
                refused := refused || jsonb_build_object('id', owner, 'code', sqlstate, 'message', said, 'hint', hinted);
        end;
    end loop;
    return refused;
end;
$$;
comment on function public.try_lead_owners(uuid[]) is 'Staff: those of these people to whom the caller cannot give a new lead, each with code, message and hint of the refusal. Writes nothing.';
revoke execute on function public.try_lead_owners(uuid[]) from public, anon;
grant execute on function public.try_lead_owners(uuid[]) to authenticated, service_role;
