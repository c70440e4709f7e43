-- Purpose: refusals that had a hint alone get their detail.
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore the bodies of 20261101001400, 20261101002600.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.apply_invoice_status()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if tg_op = 'INSERT' then
        if new.status <> 'draft' then
            raise exception 'an invoice starts as a draft, not as %', new.status
                using errcode = 'check_violation', detail = format('status: %s', new.status), hint = 'Insert it as a draft with its items, then set status to sent.';
        end if;
        new.number := null;
        new.total_cents := 0;
        new.lines := '[]'::jsonb;
        new.sent_at := null;
        new.paid_at := null;
        new.voided_at := null;
        return new;
    end if;

    if old.status <> 'draft' then
        perform private.check_invoice_frozen(old, new);
    end if;
    if new.status is not distinct from old.status then
        new.number := old.number;
        new.sent_at := old.sent_at;
        new.paid_at := old.paid_at;
        new.voided_at := old.voided_at;
        return new;
    end if;
    perform private.check_transition(
        'invoice', old.status, new.status,
        (select t.roles from private.invoice_transitions as t where t.from_status = old.status and t.to_status = new.status),
        (select string_agg(t.to_status, ', ' order by t.to_status) from private.invoice_transitions as t where t.from_status = old.status)
    );
    if new.status = 'sent' then
        if jsonb_array_length(new.lines) = 0 then
            raise exception 'an invoice without items cannot be sent'
                using errcode = 'check_violation', detail = format('invoice: %s, items: 0', new.id), hint = 'Add at least one item first.';
        end if;
        new.number := private.next_invoice_number(new.series);
        new.sent_at := coalesce(new.sent_at, now());
    end if;
    new.paid_at := case when new.status = 'paid' then coalesce(new.paid_at, now()) end;
    new.voided_at := case when new.status = 'void' then coalesce(new.voided_at, now()) end;
    return new;
end;
$$;

create or replace function private.prune_sync_changes(older_than interval default interval '30 days', max_scopes integer default 10000)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    pruned bigint;
begin
    if older_than is null or older_than < interval '0' then
        raise exception 'older_than must be a positive interval'
            using errcode = 'invalid_parameter_value', detail = format('older_than: %s', coalesce(older_than::text, 'null')), hint = 'For example interval ''30 days''.';
    end if;
    with old as (
        select c.scope, max(c.n) as n
        from public.sync_changes as c
        where c.committed_at < now() - older_than
        group by c.scope
        limit max_scopes
    ), locked as (
        select s.scope, greatest(s.floor, o.n) as floor
        from public.sync_scopes as s
        join old as o on o.scope = s.scope
        for update of s skip locked
    ), raised as (
        update public.sync_scopes as s set floor = l.floor from locked as l where s.scope = l.scope
    ), deleted as (
        delete from public.sync_changes as c using locked as l where c.scope = l.scope and c.n <= l.floor
        returning 1
    )
    select count(*) into pruned from deleted;
    return pruned;
end;
$$;
