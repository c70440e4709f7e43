-- Purpose: new items for a draft, and a move to another customer, may name the version of the row that they are based on, as every other
--          change. Without one they apply to whatever is there, as before.
-- Tables:  public.invoices and jobs at run time.
-- Locks:   none.
-- Undo:    drop both functions and private.expect_version; restore them from 20261101002700 and 20261101002800.
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.expect_version(table_name text, row_id uuid, expected_version bigint)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    current bigint;
begin
    if expected_version is null or table_name is null or table_name <> all (array['jobs', 'invoices']) then
        return;
    end if;
    perform private.require_staff('change rows');
    -- Held until the change is made, so that nobody comes in between.
    execute format('select t.version from public.%I as t where t.id = $1 for no key update', table_name) into current using row_id;
    if current <> expected_version then
        raise exception 'the row has changed since version %', expected_version
            using errcode = 'PS003', detail = format('current version: %s', current), hint = 'Read it again and decide.';
    end if;
end;
$$;
comment on function private.expect_version(text, uuid, bigint) is 'Raises PS003 unless the job or invoice is at this version, or is not there; null expects nothing.';
revoke execute on function private.expect_version(text, uuid, bigint) from public;
grant execute on function private.expect_version(text, uuid, bigint) to authenticated, service_role;

drop function public.replace_invoice_items(uuid, jsonb);
create function public.replace_invoice_items(invoice_id uuid, items jsonb, expected_version bigint default null)
returns public.invoices
language plpgsql
set search_path = ''
as $$
declare
    changed public.invoices;
begin
    perform private.expect_version('invoices', invoice_id, expected_version);
    perform private.add_invoice_items(invoice_id, private.clear_draft(invoice_id), items);
    select i.* into changed from public.invoices as i where i.id = invoice_id;
    return changed;
end;
$$;
comment on function public.replace_invoice_items(uuid, jsonb, bigint) is 'Staff: new items for a draft, if it is at this version (null: whatever it is). Returns the invoice with lines and total; PS003 when it has changed.';
revoke execute on function public.replace_invoice_items(uuid, jsonb, bigint) from public, anon;
grant execute on function public.replace_invoice_items(uuid, jsonb, bigint) to authenticated, service_role;

drop function public.move_to_customer(text, uuid, uuid);
create function public.move_to_customer(table_name text, row_id uuid, customer_id uuid, expected_version bigint default null)
returns bigint
language plpgsql
set search_path = ''
as $$
begin
    perform private.expect_version(table_name, row_id, expected_version);
    return private.move_to_customer(table_name, row_id, customer_id);
end;
$$;
comment on function public.move_to_customer(text, uuid, uuid, bigint) is 'Staff: move a job or an invoice to another customer, if it is at this version (null: whatever it is). Returns the new version; PS003 when it has changed.';
revoke execute on function public.move_to_customer(text, uuid, uuid, bigint) from public, anon;
grant execute on function public.move_to_customer(text, uuid, uuid, bigint) to authenticated, service_role;
