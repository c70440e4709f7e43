-- Purpose: the state machine of invoices, gap-free numbers per series, and amounts that are frozen once sent.
-- Tables:  private.invoice_transitions, private.invoice_series (new); triggers on public.invoices.
-- Locks:   share row exclusive on public.invoices for an instant. At run time sending locks the series row until commit,
--          which is what makes the numbers gap-free: a rollback gives the number back.
-- Undo:    drop trigger b_keep_customer, m_status, z_version on public.invoices;
--          drop function private.apply_invoice_status, private.next_invoice_number, private.check_invoice_frozen;
--          drop table private.invoice_series, private.invoice_transitions;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table private.invoice_transitions (
    from_status text not null,
    to_status text not null,
    roles text[] not null,
    constraint invoice_transitions_pkey primary key (from_status, to_status)
);
alter table private.invoice_transitions enable row level security;
comment on table private.invoice_transitions is 'Allowed status changes of an invoice and who may make them. The owner and the secret key may make every listed one.';
comment on column private.invoice_transitions.from_status is 'Status before.';
comment on column private.invoice_transitions.to_status is 'Status after.';
comment on column private.invoice_transitions.roles is 'Staff roles.';

insert into private.invoice_transitions (from_status, to_status, roles) values
('draft', 'sent', '{agent,manager,admin}'),
('draft', 'void', '{manager,admin}'),
('sent', 'paid', '{agent,manager,admin}'),
('sent', 'overdue', '{agent,manager,admin}'),
('sent', 'void', '{manager,admin}'),
('overdue', 'paid', '{agent,manager,admin}'),
('overdue', 'void', '{manager,admin}');

create table private.invoice_series (
    series text not null constraint invoice_series_pkey primary key,
    last_number bigint not null constraint invoice_series_positive check (last_number > 0)
);
alter table private.invoice_series enable row level security;
comment on table private.invoice_series is 'Last invoice number of each series. A row, not a sequence: a rollback gives the number back.';
comment on column private.invoice_series.series is 'The series, as in invoices.series.';
comment on column private.invoice_series.last_number is 'The number given last.';

create function private.next_invoice_number(wanted_series text)
returns bigint
language sql
security definer
set search_path = ''
as $$
    insert into private.invoice_series as s (series, last_number) values (wanted_series, 1)
    on conflict (series) do update set last_number = s.last_number + 1
    returning s.last_number;
$$;
comment on function private.next_invoice_number(text) is 'Takes the next number of a series and holds its lock until commit.';
revoke execute on function private.next_invoice_number(text) from public;

create function private.check_invoice_frozen(before public.invoices, after public.invoices)
returns void
language plpgsql
stable
set search_path = ''
as $$
declare
    changed text;
begin
    select string_agg(field.key, ', ' order by field.key) into changed
    from jsonb_each(to_jsonb(after)) as field
    where field.key = any (array['series', 'number', 'currency', 'total_cents', 'lines', 'due_on', 'sent_at', 'deleted_at'])
        and field.value is distinct from to_jsonb(before) -> field.key;
    if changed is not null then
        raise exception 'a % invoice is frozen: %', before.status, changed
            using errcode = 'check_violation',
                detail = format('invoice: %s, changed: %s', before.id, changed),
                hint = 'Only drafts can be edited. Void this invoice and make a new one.';
    end if;
end;
$$;
comment on function private.check_invoice_frozen(public.invoices, public.invoices) is 'Raises 23514 when an invoice that is no draft any more would change its number, amounts or terms.';
revoke execute on function private.check_invoice_frozen(public.invoices, public.invoices) from public;

create function private.apply_invoice_status()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if tg_op = 'INSERT' then
        if new.status <> 'draft' then
            raise exception 'an invoice starts as a draft, not as %', new.status
                using errcode = 'check_violation', hint = 'Insert it as a draft with its items, then set status to sent.';
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
                using errcode = 'check_violation', hint = 'Add at least one item first.';
        end if;
        new.number := private.next_invoice_number(new.series);
        new.sent_at := coalesce(new.sent_at, now());
    end if;
    new.paid_at := case when new.status = 'paid' then coalesce(new.paid_at, now()) end;
    new.voided_at := case when new.status = 'void' then coalesce(new.voided_at, now()) end;
    return new;
end;
$$;
comment on function private.apply_invoice_status() is 'BEFORE INSERT OR UPDATE: draft first, checked transitions, number and time stamps, frozen amounts.';
revoke execute on function private.apply_invoice_status() from public;

create trigger b_keep_customer before update on public.invoices
for each row execute function private.keep_customer();
create trigger m_status before insert or update on public.invoices
for each row execute function private.apply_invoice_status();
create trigger z_version before insert or update on public.invoices
for each row execute function private.touch_row();
