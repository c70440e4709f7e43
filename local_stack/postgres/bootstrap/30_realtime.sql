-- Schema realtime as a Supabase project has it: messages, subscription, types and functions.
-- Run as supabase_admin in a fresh database, in one transaction, after the roles and schema auth.
--
-- Three deliberate differences from a hosted project:
--   * realtime.messages is one table, not daily partitions, so that a send can never fail for want of a partition;
--   * role postgres inherits from supabase_realtime_admin, because PostgreSQL lets only the owner of a table create
--     policies on it; the event triggers at the end refuse postgres everything else in this schema;
--   * the decoding helpers list_changes and apply_rls are absent: the server streams pgoutput instead.

create schema if not exists realtime;
comment on schema realtime is 'Realtime: messages, authorisation of channels, subscriptions to table changes';
grant usage on schema realtime to postgres with grant option;
grant usage on schema realtime to anon, authenticated, service_role;

-- types ---------------------------------------------------------------------------------------------------------

create type realtime.action as enum ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'ERROR');
comment on type realtime.action is 'What happened to a row';

create type realtime.equality_op as enum (
    'eq', 'neq', 'lt', 'lte', 'gt', 'gte', 'in', 'like', 'ilike', 'is', 'match', 'imatch', 'isdistinct'
);
comment on type realtime.equality_op is 'Operators of a subscription filter';

create type realtime.user_defined_filter as (
    column_name text,
    op realtime.equality_op,
    value text,
    negate boolean
);
comment on type realtime.user_defined_filter is 'One condition of a subscription filter';

create type realtime.wal_column as (
    name text,
    type_name text,
    type_oid oid,
    value jsonb,
    is_pkey boolean,
    is_selectable boolean
);
comment on type realtime.wal_column is 'One column of a decoded change';

create type realtime.wal_rls as (
    wal jsonb,
    is_rls_enabled boolean,
    subscription_ids uuid[],
    errors text[]
);
comment on type realtime.wal_rls is 'A decoded change with those who may see it';

-- tables --------------------------------------------------------------------------------------------------------

create table realtime.messages (
    topic text not null,
    extension text not null,
    payload jsonb,
    event text,
    private boolean default false,
    updated_at timestamp not null default now(),
    inserted_at timestamp not null default now(),
    id uuid not null default gen_random_uuid(),
    binary_payload bytea,
    constraint messages_pkey primary key (id, inserted_at),
    constraint messages_payload_exclusive check (payload is null or binary_payload is null) not valid
);
comment on table realtime.messages is
    'Broadcasts sent from SQL; policies on this table decide who may join and send on private channels';
create index messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic)
    where extension = 'broadcast' and private is true;
alter table realtime.messages enable row level security;
grant select, insert, update on realtime.messages to anon, authenticated, service_role;
grant all on realtime.messages to postgres;

create function realtime.to_regrole(role_name text)
returns regrole
language sql
immutable
as $$ select role_name::regrole $$;
comment on function realtime.to_regrole(text) is 'The role of that name; raises when there is none';

create table realtime.subscription (
    id bigint generated always as identity primary key,
    subscription_id uuid not null,
    entity regclass not null,
    filters realtime.user_defined_filter[] not null default '{}',
    claims jsonb not null,
    claims_role regrole not null generated always as (realtime.to_regrole(claims ->> 'role')) stored,
    created_at timestamp not null default timezone('utc', now()),
    action_filter text default '*' check (action_filter in ('*', 'INSERT', 'UPDATE', 'DELETE')),
    selected_columns text[]
);
comment on table realtime.subscription is 'Subscriptions to table changes that are joined now; kept by the Realtime server';
create unique index subscription_subscription_id_entity_filters_action_filter_selec
    on realtime.subscription (
        subscription_id, entity, filters, action_filter, coalesce(selected_columns, '{}')
    );
create index ix_realtime_subscription_entity on realtime.subscription using btree (entity);
grant select on realtime.subscription to anon, authenticated, service_role;
grant all on realtime.subscription to postgres;

-- comparing and casting -----------------------------------------------------------------------------------------

create function realtime."cast"(val text, type_ regtype)
returns jsonb
language plpgsql
immutable
as $$
declare
    result jsonb;
begin
    if type_ = 'bytea'::regtype then
        return to_jsonb(val);
    end if;
    execute format('select to_jsonb(%L::%s)', val, type_::text) into result;
    return result;
end
$$;
comment on function realtime."cast"(text, regtype) is 'A value in text form as the JSON that subscribers receive';

create function realtime.check_equality_op(
    op realtime.equality_op,
    type_ regtype,
    val_1 text,
    val_2 text,
    negate boolean
)
returns boolean
language plpgsql
stable
as $$
declare
    symbol text;
    result boolean;
begin
    if op = 'is' then
        execute format(
            'select %L::%s is %s %s',
            val_1, type_::text, case when negate then 'not' else '' end, realtime.is_keyword(val_2)
        ) into result;
        return result;
    end if;
    if op = 'in' then
        execute format('select %L::%s = any (%L::%s[])', val_1, type_::text, val_2, type_::text) into result;
    else
        symbol := case op
            when 'eq' then '='
            when 'neq' then '!='
            when 'lt' then '<'
            when 'lte' then '<='
            when 'gt' then '>'
            when 'gte' then '>='
            when 'like' then 'like'
            when 'ilike' then 'ilike'
            when 'match' then '~'
            when 'imatch' then '~*'
            when 'isdistinct' then 'is distinct from'
        end;
        execute format('select %L::%s %s %L::%s', val_1, type_::text, symbol, val_2,
            case when op in ('like', 'ilike', 'match', 'imatch') then 'text' else type_::text end) into result;
    end if;
    return case when negate then not result else result end;
end
$$;
comment on function realtime.check_equality_op(realtime.equality_op, regtype, text, text, boolean) is
    'Whether a value meets one filter condition; null when SQL cannot tell';

create function realtime.check_equality_op(op realtime.equality_op, type_ regtype, val_1 text, val_2 text)
returns boolean
language plpgsql
immutable
as $$
begin
    return realtime.check_equality_op(op, type_, val_1, val_2, false);
end
$$;
comment on function realtime.check_equality_op(realtime.equality_op, regtype, text, text) is
    'Whether a value meets one filter condition, not negated';

create function realtime.is_keyword(value text)
returns text
language plpgsql
immutable
as $$
begin
    if value in ('null', 'true', 'false', 'unknown') then
        return value;
    end if;
    raise exception 'invalid value for is filter: must be null, true, false, or unknown';
end
$$;
comment on function realtime.is_keyword(text) is 'The value of an is filter, refused unless it is one of the four keywords';

create function realtime.is_visible_through_filters(
    columns realtime.wal_column[],
    filters realtime.user_defined_filter[]
)
returns boolean
language sql
stable
as $$
    select
        coalesce(cardinality(filters), 0) = 0
        or (
            select
                count(*) = cardinality(filters)
                and bool_and(
                    coalesce(
                        realtime.check_equality_op(
                            f.op,
                            c.type_oid::regtype,
                            c.value #>> '{}',
                            f.value,
                            coalesce(f.negate, false)
                        ),
                        false
                    )
                )
            from unnest(filters) as f
            join unnest(columns) as c on c.name = f.column_name
        )
$$;
comment on function realtime.is_visible_through_filters(realtime.wal_column[], realtime.user_defined_filter[]) is
    'Whether a row meets every condition; a condition on an absent column is not met';

create function realtime.check_filter_operator(op realtime.equality_op, type_ regtype, value text)
returns void
language plpgsql
stable
as $$
declare
    type_name text := format_type(type_, null);
    item_count int;
begin
    if op = 'is' then
        perform realtime.is_keyword(value);
        if value <> 'null' and type_ <> 'boolean'::regtype then
            raise exception 'is % filter requires a boolean column, got %', value, type_name;
        end if;
    elsif op in ('like', 'ilike', 'match', 'imatch') then
        if (select typcategory from pg_type where oid = type_) <> 'S' then
            raise exception 'operator % requires a text-compatible column type, got %', op, type_name;
        end if;
        if op in ('match', 'imatch') then
            begin
                perform '' ~ value;
            exception when others then
                raise exception 'invalid regular expression for % filter: %', op, sqlerrm;
            end;
        end if;
    elsif op = 'in' then
        execute format('select coalesce(cardinality(%L::%s[]), 0)', value, type_::text) into item_count;
        if item_count > 100 then
            raise exception 'too many values for `in` filter. Maximum 100';
        end if;
    else
        perform realtime."cast"(value, type_);
    end if;
end
$$;
comment on function realtime.check_filter_operator(realtime.equality_op, regtype, text) is
    'Raise unless the operator and the value suit a column of that type';

create function realtime.subscription_check_filters()
returns trigger
language plpgsql
as $$
declare
    readable text[];
    filter realtime.user_defined_filter;
    selected text;
begin
    select coalesce(array_agg(attname::text), '{}') into readable
    from pg_attribute
    where
        attrelid = new.entity
        and attnum > 0
        and not attisdropped
        and has_column_privilege((new.claims ->> 'role')::regrole, new.entity, attnum, 'select');

    foreach filter in array new.filters loop
        if not filter.column_name = any (readable) then
            raise exception 'invalid column for filter %', filter.column_name;
        end if;
        perform realtime.check_filter_operator(
            filter.op,
            (
                select atttypid::regtype from pg_attribute
                where attrelid = new.entity and attname = filter.column_name
            ),
            filter.value
        );
    end loop;
    foreach selected in array coalesce(new.selected_columns, '{}') loop
        if not selected = any (readable) then
            raise exception 'invalid column for select %', selected;
        end if;
    end loop;

    new.filters := coalesce(
        (
            select array_agg(f order by f.column_name, f.op, f.value, f.negate)
            from unnest(new.filters) as f
        ),
        '{}'
    );
    new.selected_columns := (select array_agg(c order by c) from unnest(new.selected_columns) as c);
    return new;
end
$$;
comment on function realtime.subscription_check_filters() is
    'Refuse a subscription whose filters or columns the role may not use; sort both so that equal ones are equal';

create trigger tr_check_filters
    before insert or update on realtime.subscription
    for each row execute function realtime.subscription_check_filters();

-- what the Realtime server asks about one change ----------------------------------------------------------------

create function realtime.conditions_met(
    types oid[],
    current_values text[],
    ops text[],
    filter_values text[],
    negates boolean[]
)
returns boolean[]
language plpgsql
stable
as $$
declare
    results boolean[] := '{}';
    met boolean;
begin
    for i in 1 .. coalesce(cardinality(types), 0) loop
        begin
            met := realtime.check_equality_op(
                ops[i]::realtime.equality_op, types[i]::regtype, current_values[i], filter_values[i], negates[i]
            );
        exception when others then
            met := null;
        end;
        results := results || coalesce(met, false);
    end loop;
    return results;
end
$$;
comment on function realtime.conditions_met(oid[], text[], text[], text[], boolean[]) is
    'Evaluate several filter conditions at once; one that raises is not met';

create function realtime.is_settled(xid bigint)
returns boolean
language sql
stable
as $$
    -- The stream knows a transaction by 32 bits; the epoch is the one that puts it next to the newest.
    select pg_visible_in_snapshot(
        (newest + mod(mod(xid - newest, 4294967296) + 6442450944, 4294967296) - 2147483648)::text::xid8,
        pg_current_snapshot()
    )
    from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as newest) as snapshot
$$;
comment on function realtime.is_settled(bigint) is
    'Whether a streamed transaction is visible to other sessions; a commit is streamed a moment before it is';

create function realtime.row_readers(lookup text, key_values text[], roles text[], claims text[], xid bigint)
returns boolean[]
language plpgsql
volatile
set plan_cache_mode = force_generic_plan
as $$
declare
    results boolean[] := '{}';
    call text := format(
        'execute %I(%s)',
        lookup,
        (
            select string_agg(quote_nullable(k.value), ', ' order by k.place)
            from unnest(key_values) with ordinality as k (value, place)
        )
    );
    seen boolean;
begin
    while not realtime.is_settled(xid) loop
        perform pg_sleep(0.0001);
    end loop;

    -- The statement is planned once per role; only the claims differ from one reader to the next.
    for i in 1 .. coalesce(cardinality(roles), 0) loop
        begin
            perform set_config('role', roles[i], true), set_config('request.jwt.claims', claims[i], true);
            execute call into seen;
        exception when others then
            seen := false;
        end;
        results := results || seen;
    end loop;
    perform set_config('role', 'none', true);
    return results;
end
$$;
comment on function realtime.row_readers(text, text[], text[], text[], bigint) is
    'For each role with its claims: does row level security show the row that the prepared lookup finds by this key; waits until the transaction is visible; a policy that raises hides the row';

create function realtime.readable_columns(entity regclass, roles text[])
returns table (role_name text, column_names text[])
language sql
stable
as $$
    select
        r.name,
        coalesce(
            (
                select array_agg(a.attname::text order by a.attnum)
                from pg_attribute as a
                where
                    a.attrelid = entity
                    and a.attnum > 0
                    and not a.attisdropped
                    and has_column_privilege(p.oid, entity, a.attnum, 'select')
            ),
            '{}'
        )
    from unnest(roles) as r (name)
    left join pg_roles as p on p.rolname = r.name
$$;
comment on function realtime.readable_columns(regclass, text[]) is 'The columns of a table that each role may select';

-- sending from SQL ----------------------------------------------------------------------------------------------

create function realtime.topic()
returns text
language sql
stable
as $$ select nullif(current_setting('realtime.topic', true), '')::text $$;
comment on function realtime.topic() is 'The topic of the channel that a policy is being asked about; null outside';

create function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void
language plpgsql
volatile
as $$
declare
    message_id uuid := gen_random_uuid();
    final_payload jsonb := payload;
begin
    begin
        if payload is not null and not (jsonb_typeof(payload) = 'object' and payload ? 'id') then
            final_payload := jsonb_set(payload, '{id}', to_jsonb(message_id));
        end if;
        perform set_config('realtime.topic', topic, true);
        insert into realtime.messages (id, payload, event, topic, private, extension)
        values (message_id, final_payload, event, topic, private, 'broadcast');
    exception when others then
        raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
    end;
end
$$;
comment on function realtime.send(jsonb, text, text, boolean) is
    'Broadcast a JSON object when this transaction commits; never raises, a failure is a warning';

create function realtime.send_binary(payload bytea, event text, topic text, private boolean default true)
returns void
language plpgsql
volatile
as $$
begin
    begin
        perform set_config('realtime.topic', topic, true);
        insert into realtime.messages (binary_payload, event, topic, private, extension)
        values (payload, event, topic, private, 'broadcast');
    exception when others then
        raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
    end;
end
$$;
comment on function realtime.send_binary(bytea, text, text, boolean) is
    'Broadcast bytes when this transaction commits; never raises, a failure is a warning';

create function realtime.broadcast_changes(
    topic_name text,
    event_name text,
    operation text,
    table_name text,
    table_schema text,
    new record,
    old record,
    level text default 'ROW'
)
returns void
language plpgsql
volatile
as $$
begin
    if level = 'STATEMENT' then
        raise exception 'function can only be triggered for each row, not for each statement';
    end if;
    if operation not in ('INSERT', 'UPDATE', 'DELETE') or operation is null then
        raise exception 'Unexpected operation type: %', operation;
    end if;
    perform realtime.send(
        jsonb_build_object(
            'old_record', to_jsonb(old),
            'record', to_jsonb(new),
            'operation', operation,
            'table', table_name,
            'schema', table_schema
        ),
        event_name,
        topic_name
    );
exception when others then
    raise exception 'Failed to process the row: %', sqlerrm;
end
$$;
comment on function realtime.broadcast_changes(text, text, text, text, text, record, record, text) is
    'Broadcast what a row trigger saw, on a private channel; for use in trigger functions';

-- owners --------------------------------------------------------------------------------------------------------

do $$
declare
    item record;
begin
    for item in select oid::regclass as name from pg_class
        where relnamespace = 'realtime'::regnamespace and relkind = 'r'
    loop
        execute format('alter table %s owner to supabase_realtime_admin', item.name);
    end loop;
    for item in select oid::regprocedure as name from pg_proc where pronamespace = 'realtime'::regnamespace loop
        execute format('alter function %s owner to supabase_realtime_admin', item.name);
    end loop;
    for item in select t.oid::regtype as name from pg_type as t
        left join pg_class as c on c.oid = t.typrelid
        where t.typnamespace = 'realtime'::regnamespace
            and (t.typtype = 'e' or (t.typtype = 'c' and c.relkind = 'c'))
    loop
        execute format('alter type %s owner to supabase_realtime_admin', item.name);
    end loop;
end
$$;

revoke execute on function realtime.row_readers(text, text[], text[], text[], bigint) from public;

-- publications --------------------------------------------------------------------------------------------------

create publication supabase_realtime_messages_publication for table realtime.messages;
do $$
begin
    if not exists (select from pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
        alter publication supabase_realtime owner to postgres;
    end if;
end
$$;

-- a managed schema: role postgres may only create, alter and drop policies here --------------------------------------

create function realtime.refuse_project_ddl()
returns event_trigger
language plpgsql
as $$
declare
    item record;
begin
    if (select rolsuper from pg_roles where rolname = current_user)
        or tg_tag in ('CREATE POLICY', 'ALTER POLICY', 'DROP POLICY', 'CREATE TRIGGER', 'GRANT', 'REVOKE')
    then
        return;
    end if;
    for item in
        select object_identity from pg_event_trigger_ddl_commands()
        where schema_name = 'realtime'
            or (object_type in ('policy', 'trigger', 'rule') and object_identity like '% on realtime.%')
            or (object_type = 'schema' and object_identity = 'realtime')
    loop
        raise exception 'must be owner of %', item.object_identity
            using errcode = '42501',
                hint = 'Schema realtime is managed: a project may only create, alter and drop policies there.';
    end loop;
end
$$;
comment on function realtime.refuse_project_ddl() is 'Refuse changes of schema realtime by anyone but a superuser';

create function realtime.refuse_project_drop()
returns event_trigger
language plpgsql
as $$
declare
    item record;
begin
    if (select rolsuper from pg_roles where rolname = current_user) or tg_tag in ('DROP POLICY', 'DROP TRIGGER') then
        return;
    end if;
    for item in
        select object_identity from pg_event_trigger_dropped_objects()
        where original
            and (schema_name = 'realtime' or (object_type = 'schema' and object_identity = 'realtime'))
    loop
        raise exception 'must be owner of %', item.object_identity
            using errcode = '42501',
                hint = 'Schema realtime is managed: a project may only create, alter and drop policies there.';
    end loop;
end
$$;
comment on function realtime.refuse_project_drop() is 'Refuse dropping objects of schema realtime to all but a superuser';

create event trigger realtime_refuse_project_ddl on ddl_command_end
    execute function realtime.refuse_project_ddl();
comment on event trigger realtime_refuse_project_ddl is 'Keeps schema realtime as the Realtime server needs it';
create event trigger realtime_refuse_project_drop on sql_drop
    execute function realtime.refuse_project_drop();
comment on event trigger realtime_refuse_project_drop is 'Keeps schema realtime as the Realtime server needs it';
