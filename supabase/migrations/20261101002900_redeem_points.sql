-- Purpose: the customer's one write to the ledger.
-- Tables:  public.loyalty_transactions at run time.
-- Locks:   none.
-- Undo:    drop function public.redeem_points, private.redeem_points;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.redeem_points(points bigint, reason text, id uuid)
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
            using errcode = 'insufficient_privilege', hint = 'Staff insert an entry of kind redeem instead.';
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
comment on function private.redeem_points(bigint, text, uuid) is 'Checked work of public.redeem_points.';
revoke execute on function private.redeem_points(bigint, text, uuid) from public;
grant execute on function private.redeem_points(bigint, text, uuid) to authenticated, service_role;

create function public.redeem_points(points bigint, reason text, id uuid default gen_random_uuid())
returns public.loyalty_transactions
language sql
set search_path = ''
as $$
    select private.redeem_points(points, reason, id);
$$;
comment on function public.redeem_points(bigint, text, uuid) is 'Customer: spend points of the own balance. Returns the ledger entry.';
revoke execute on function public.redeem_points(bigint, text, uuid) from public, anon;
grant execute on function public.redeem_points(bigint, text, uuid) to authenticated, service_role;
