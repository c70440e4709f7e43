-- Purpose: entry numbers, running balance and append-only for the loyalty ledger.
-- Tables:  triggers on public.loyalty_transactions.
-- Locks:   share row exclusive on it for an instant. At run time an entry locks its customer's account row until commit.
-- Undo:    drop the triggers named below; drop function private.append_ledger, private.refuse_ledger_change;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.append_ledger()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    account public.loyalty_accounts;
begin
    -- A repeated id is refused or skipped by the primary key only after this trigger has run, so it must not count.
    -- The advisory lock makes a concurrent writer of the same id wait until this one's fate is known.
    perform pg_advisory_xact_lock(hashtextextended(new.id::text, 0));
    insert into public.loyalty_accounts (customer_id)
    select new.customer_id
    where exists (select from public.customers as c where c.id = new.customer_id)
    on conflict (customer_id) do nothing;
    select a.* into account from public.loyalty_accounts as a where a.customer_id = new.customer_id for update;
    if exists (select from public.loyalty_transactions as t where t.id = new.id) then
        new.entry_no := account.last_entry + 1;
        new.balance_after := 0;
        return new;
    end if;
    if account.balance + new.points < 0 then
        raise exception 'the balance of % points does not cover %', account.balance, -new.points
            using errcode = 'check_violation',
                detail = format('balance: %s, points: %s', account.balance, new.points),
                hint = 'Redeem at most the balance.';
    end if;
    new.entry_no := coalesce(account.last_entry, 0) + 1;
    new.balance_after := coalesce(account.balance, 0) + new.points;
    update public.loyalty_accounts as a
    set balance = new.balance_after, last_entry = new.entry_no
    where a.customer_id = new.customer_id;
    return new;
end;
$$;
comment on function private.append_ledger() is 'BEFORE INSERT: locks the account, gives entry_no and balance_after, refuses a negative balance with 23514.';
revoke execute on function private.append_ledger() from public;

create function private.refuse_ledger_change()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    -- Erasing a customer takes the ledger along: the cascade comes after the customer is gone.
    if tg_op = 'DELETE' and not exists (select from public.customers as c where c.id = old.customer_id) then
        return old;
    end if;
    raise exception 'the loyalty ledger is append only: no %', lower(tg_op)
        using errcode = 'insufficient_privilege', hint = 'Correct a mistake with another entry of kind adjust.';
end;
$$;
comment on function private.refuse_ledger_change() is 'BEFORE UPDATE, DELETE OR TRUNCATE: refuses, for the owner too, unless the customer is being erased.';
revoke execute on function private.refuse_ledger_change() from public;

create trigger m_append before insert on public.loyalty_transactions
for each row execute function private.append_ledger();
create trigger z_version before insert on public.loyalty_transactions
for each row execute function private.touch_row();
create trigger a_append_only before update or delete on public.loyalty_transactions
for each row execute function private.refuse_ledger_change();
create trigger a_no_truncate before truncate on public.loyalty_transactions
for each statement execute function private.refuse_ledger_change();
