-- Purpose: an invoice with its items in one call, and new items for a draft.
-- Tables:  public.invoices, public.invoice_items at run time, as the caller.
-- Locks:   none.
-- Undo:    drop function public.create_invoice, public.replace_invoice_items, private.clear_draft,
--          private.add_invoice_items, private.check_keys;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.check_keys(what text, given jsonb, known text[])
returns void
language plpgsql
immutable
set search_path = ''
as $$
declare
    unknown text;
begin
    if given is null or jsonb_typeof(given) <> 'object' then
        raise exception '% must be a JSON object', what using errcode = 'invalid_parameter_value';
    end if;
    select string_agg(k, ', ' order by k) into unknown from jsonb_object_keys(given) as k where k <> all (known);
    if unknown is not null then
        raise exception '% has unknown keys: %', what, unknown
            using errcode = 'invalid_parameter_value', hint = format('Known: %s.', array_to_string(known, ', '));
    end if;
end;
$$;
comment on function private.check_keys(text, jsonb, text[]) is 'Raises 22023 unless given is an object with known keys only.';

create function private.add_invoice_items(invoice_id uuid, customer_id uuid, items jsonb)
returns void
language plpgsql
set search_path = ''
as $$
declare
    item jsonb;
begin
    if items is null or jsonb_typeof(items) <> 'array' or jsonb_array_length(items) > 500 then
        raise exception 'items must be a JSON array of at most 500 objects' using errcode = 'invalid_parameter_value';
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
comment on function private.add_invoice_items(uuid, uuid, jsonb) is 'Inserts items in the order of the array, as the caller.';

create function private.clear_draft(invoice_id uuid)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
    customer uuid;
begin
    perform private.require_staff('edit invoices');
    select i.customer_id into customer from public.invoices as i where i.id = clear_draft.invoice_id for update;
    if not found then
        perform private.raise_no_row('invoices', invoice_id);
    end if;
    delete from public.invoice_items as t where t.invoice_id = clear_draft.invoice_id;
    return customer;
end;
$$;
comment on function private.clear_draft(uuid) is 'Staff: removes the items of a draft (23514 for any other invoice) and returns its customer.';

create function public.create_invoice(invoice jsonb, items jsonb)
returns public.invoices
language plpgsql
set search_path = ''
as $$
declare
    made public.invoices;
begin
    perform private.check_keys('invoice', invoice, array['id', 'customer_id', 'job_id', 'series', 'currency', 'due_on', 'notes']);
    insert into public.invoices (id, customer_id, job_id, series, currency, due_on, notes)
    values (
        coalesce((invoice ->> 'id')::uuid, gen_random_uuid()), (invoice ->> 'customer_id')::uuid, (invoice ->> 'job_id')::uuid,
        coalesce(invoice ->> 'series', 'INV'), coalesce(invoice ->> 'currency', 'EUR'), (invoice ->> 'due_on')::date, invoice ->> 'notes'
    )
    returning * into made;
    perform private.add_invoice_items(made.id, made.customer_id, items);
    select i.* into made from public.invoices as i where i.id = made.id;
    return made;
end;
$$;
comment on function public.create_invoice(jsonb, jsonb) is 'Staff: a draft with its items in one transaction. Returns the invoice with lines and total.';

create function public.replace_invoice_items(invoice_id uuid, items jsonb)
returns public.invoices
language plpgsql
set search_path = ''
as $$
declare
    changed public.invoices;
begin
    perform private.add_invoice_items(invoice_id, private.clear_draft(invoice_id), items);
    select i.* into changed from public.invoices as i where i.id = invoice_id;
    return changed;
end;
$$;
comment on function public.replace_invoice_items(uuid, jsonb) is 'Staff: new items for a draft. Returns the invoice with lines and total.';

revoke execute on function private.check_keys(text, jsonb, text[]), private.add_invoice_items(uuid, uuid, jsonb),
    private.clear_draft(uuid) from public;
grant execute on function private.check_keys(text, jsonb, text[]), private.add_invoice_items(uuid, uuid, jsonb),
    private.clear_draft(uuid) to authenticated, service_role;
revoke execute on function public.create_invoice(jsonb, jsonb), public.replace_invoice_items(uuid, jsonb) from public, anon;
grant execute on function public.create_invoice(jsonb, jsonb), public.replace_invoice_items(uuid, jsonb) to authenticated, service_role;
