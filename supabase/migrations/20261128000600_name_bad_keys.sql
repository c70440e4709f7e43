-- Purpose: keys and values of JSON arguments are refused in the product's own words, with detail and hint: also an id that is no
--          uuid, an amount that is no number, a day that does not exist.
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore the bodies of 20261101002800 and 20261101001400; drop function private.is_day.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.is_day(given text)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
    return given ~ '^\d{4}-\d{2}-\d{2}$'
        and make_date(substr(given, 1, 4)::integer, substr(given, 6, 2)::integer, substr(given, 9, 2)::integer) is not null;
exception
    when data_exception then
        return false; -- the thirtieth of February
end;
$$;
comment on function private.is_day(text) is 'True for a day of the calendar, written YYYY-MM-DD.';
revoke execute on function private.is_day(text) from public;
grant execute on function private.is_day(text) to authenticated, service_role;

create or replace function private.check_keys(what text, given jsonb, known text[])
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    unknown text;
    pair record;
begin
    if given is null or jsonb_typeof(given) <> 'object' then
        raise exception '% must be a JSON object', what
            using errcode = 'invalid_parameter_value',
                detail = format('given: %s', coalesce(jsonb_typeof(given), 'null')),
                hint = format('Its keys: %s.', array_to_string(known, ', '));
    end if;
    select string_agg(left(k, 63), ', ' order by k) into unknown from jsonb_object_keys(given) as k where k <> all (known);
    if unknown is not null then
        raise exception '% has unknown keys: %', what, left(unknown, 200)
            using errcode = 'invalid_parameter_value',
                detail = format('unknown: %s', left(unknown, 200)),
                hint = format('Known: %s.', array_to_string(known, ', '));
    end if;
    -- What the casts behind this would refuse without a word of advice.
    for pair in select e.key, e.value from jsonb_each_text(given) as e where e.value is not null loop
        if pair.key ~ '^(.*_)?id$' and pair.value !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
            perform private.refuse_argument(pair.key, pair.key, pair.value, format('%s is a uuid.', pair.key));
        elsif pair.key ~ '^(quantity|.*_cents)$' and pair.value !~ '^-?\d{1,9}$' then
            perform private.refuse_argument(pair.key, pair.key, pair.value, format('%s is a whole number of at most 9 digits.', pair.key));
        elsif pair.key ~ '_on$' and not private.is_day(pair.value) then
            perform private.refuse_argument(pair.key, pair.key, pair.value, format('%s is a day: YYYY-MM-DD.', pair.key));
        end if;
    end loop;
end;
$$;
comment on function private.check_keys(text, jsonb, text[]) is 'Raises 22023 unless given is an object with known keys only, whose ids, numbers and days can be read as such.';

create or replace function private.add_invoice_items(invoice_id uuid, customer_id uuid, items jsonb)
returns void
language plpgsql
set search_path = ''
as $$
declare
    item jsonb;
begin
    if items is null or jsonb_typeof(items) <> 'array' or jsonb_array_length(items) > 500 then
        raise exception 'items must be a JSON array of at most 500 objects'
            using errcode = 'invalid_parameter_value',
                detail = format('given: %s', case when jsonb_typeof(items) = 'array' then jsonb_array_length(items) || ' items' else coalesce(jsonb_typeof(items), 'null') end),
                hint = 'For example [{"description": "Work", "quantity": 1, "unit_price_cents": 5000}].';
    end if;
    for item in select e.value from jsonb_array_elements(items) as e loop
        perform private.check_keys('an item', item, array['id', 'description', 'quantity', 'unit_price_cents']);
    end loop;
    insert into public.invoice_items (id, invoice_id, customer_id, position, description, quantity, unit_price_cents)
    select coalesce((e.value ->> 'id')::uuid, gen_random_uuid()), add_invoice_items.invoice_id, add_invoice_items.customer_id,
        e.ordinality, e.value ->> 'description', coalesce((e.value ->> 'quantity')::integer, 1), (e.value ->> 'unit_price_cents')::bigint
    from jsonb_array_elements(items) with ordinality as e (value, ordinality);
end;
$$;
