-- Purpose: items may change only while the invoice is a draft, and the invoice's lines and total follow them.
-- Tables:  triggers on public.invoice_items.
-- Locks:   share row exclusive on public.invoice_items for an instant. At run time each item write locks its invoice row.
-- Undo:    drop the triggers named below; drop function private.check_invoice_item, private.sum_up_invoices,
--          private.refresh_invoices;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.check_invoice_item()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    target uuid := case when tg_op = 'DELETE' then old.invoice_id else new.invoice_id end;
    invoice record;
begin
    if tg_op = 'UPDATE' and new.invoice_id is distinct from old.invoice_id then
        raise exception 'invoice_items.invoice_id cannot be changed'
            using errcode = 'insufficient_privilege', hint = 'Add the item to the other invoice instead.';
    end if;
    select i.customer_id, i.status into invoice from public.invoices as i where i.id = target for update;
    if not found then
        -- Deleting: the invoice goes with its customer. Inserting: the foreign key refuses the row.
        return case when tg_op = 'DELETE' then old else new end;
    end if;
    if tg_op = 'UPDATE' and new.customer_id is distinct from old.customer_id and new.customer_id = invoice.customer_id then
        return new; -- the item follows its invoice to another customer
    end if;
    if invoice.status <> 'draft' then
        raise exception 'the items of a % invoice are frozen', invoice.status
            using errcode = 'check_violation',
                detail = format('invoice: %s, status: %s', target, invoice.status),
                hint = 'Only drafts can be edited. Void this invoice and make a new one.';
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    new.customer_id := invoice.customer_id;
    return new;
end;
$$;
comment on function private.check_invoice_item() is 'BEFORE INSERT, UPDATE OR DELETE: locks the invoice, refuses unless it is a draft, fills customer_id.';
revoke execute on function private.check_invoice_item() from public;

create function private.sum_up_invoices(invoice_ids uuid[])
returns void
language sql
security definer
set search_path = ''
as $$
    update public.invoices as i
    set
        total_cents = sums.total_cents,
        lines = sums.lines
    from (
        select
            ids.id,
            coalesce(sum(t.amount_cents), 0)::bigint as total_cents,
            coalesce(
                jsonb_agg(
                    jsonb_build_object(
                        'id', t.id, 'position', t.position, 'description', t.description, 'quantity', t.quantity,
                        'unit_price_cents', t.unit_price_cents, 'amount_cents', t.amount_cents
                    ) order by t.position
                ) filter (where t.id is not null),
                '[]'::jsonb
            ) as lines
        from (select distinct unnest(invoice_ids) as id) as ids
        left join public.invoice_items as t on t.invoice_id = ids.id
        group by ids.id
    ) as sums
    where i.id = sums.id and i.status = 'draft';
$$;
comment on function private.sum_up_invoices(uuid[]) is 'Recomputes lines and total_cents of the drafts among these invoices.';
revoke execute on function private.sum_up_invoices(uuid[]) from public;

create function private.refresh_invoices()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if tg_op = 'DELETE' then
        perform private.sum_up_invoices((select array_agg(o.invoice_id) from old_rows as o));
    else
        perform private.sum_up_invoices((select array_agg(n.invoice_id) from new_rows as n));
    end if;
    return null;
end;
$$;
comment on function private.refresh_invoices() is 'AFTER each statement on invoice_items: brings the invoices they belong to up to date.';
revoke execute on function private.refresh_invoices() from public;

create trigger m_invoice_is_draft before insert or update or delete on public.invoice_items
for each row execute function private.check_invoice_item();
create trigger z_version before insert or update on public.invoice_items
for each row execute function private.touch_row();
create trigger refresh_insert after insert on public.invoice_items
referencing new table as new_rows
for each statement execute function private.refresh_invoices();
create trigger refresh_update after update on public.invoice_items
referencing new table as new_rows
for each statement execute function private.refresh_invoices();
create trigger refresh_delete after delete on public.invoice_items
referencing old table as old_rows
for each statement execute function private.refresh_invoices();
