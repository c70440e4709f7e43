-- Purpose: refusals that had a hint alone get their detail: an unknown table of the history, points redeemed by staff.
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore the bodies of 20261129000300 and 20261101002900.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.key_column(table_name text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
    if table_name = any (array['customers', 'lead_notes', 'calls', 'jobs', 'job_notes', 'invoices', 'messages', 'loyalty_transactions']) then
        return 'id';
    elsif table_name = 'leads' then
        return 'customer_id';
    elsif table_name = 'job_assignments' then
        return 'job_id';
    elsif table_name = 'staff' then
        return 'user_id';
    end if;
    raise exception 'unknown table %', coalesce(left(table_name, 63), 'null')
        using errcode = 'invalid_parameter_value', detail = format('table_name: %s', coalesce(left(table_name, 63), 'null')),
            hint = 'customers, leads, lead_notes, calls, jobs, job_notes, job_assignments, invoices, messages, loyalty_transactions or staff.';
end;
$$;

create or replace function private.redeem_points(points bigint, reason text, id uuid)
returns public.loyalty_transactions
language plpgsql
security definer
set search_path = ''
as $$
declare
    customer uuid := private.my_customer_id();
    entry public.loyalty_transactions;
begin
    if customer is null then
        raise exception 'only a customer may redeem points'
            using errcode = 'insufficient_privilege', detail = 'The caller belongs to no customer.', hint = 'Staff insert an entry of kind redeem instead.';
    elsif points is null or points not between 1 and 1000000000 then
        raise exception 'points must be 1 or more'
            using errcode = 'check_violation', detail = format('points: %s', coalesce(points::text, 'null')), hint = 'Redeem at most the balance.';
    end if;
    insert into public.loyalty_transactions as t (id, customer_id, points, kind, reason)
    values (redeem_points.id, customer, -redeem_points.points, 'redeem', redeem_points.reason)
    returning t.* into entry;
    return entry;
end;
$$;
