-- Purpose: no TRUNCATE where it would break what others rely on; deleting from the log only when it is old or its customer is gone.
-- Tables:  triggers on public.loyalty_accounts, public.sync_scopes, public.sync_changes, public.activity_log,
--          private.portal_invites.
-- Locks:   share row exclusive on each of them for an instant.
-- Undo:    drop trigger a_no_truncate on each, a_keep_log on public.activity_log; drop function private.keep_log,
--          private.prune_activity_log;
set lock_timeout = '2s';
set statement_timeout = '60s';

create trigger a_no_truncate before truncate on public.loyalty_accounts
for each statement execute function private.refuse_truncate('Balances belong to the ledger.');
create trigger a_no_truncate before truncate on public.sync_scopes
for each statement execute function private.refuse_truncate('Use private.new_sync_epoch() to begin the feed anew.');
create trigger a_no_truncate before truncate on public.sync_changes
for each statement execute function private.refuse_truncate('Use private.prune_sync_changes() or private.new_sync_epoch().');
create trigger a_no_truncate before truncate on private.portal_invites
for each statement execute function private.refuse_truncate('Invites end by themselves.');

create function private.keep_log()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if old.at < now() - interval '1 year' or not exists (select from public.customers as c where c.id = old.customer_id) and old.customer_id is not null then
        return old;
    end if;
    raise exception 'activity_log is append only: no delete'
        using errcode = 'insufficient_privilege', hint = 'private.prune_activity_log() removes entries that are older than a year.';
end;
$$;
comment on function private.keep_log() is 'BEFORE DELETE on activity_log: refuses, for the owner too, unless the entry is older than a year or its customer is erased.';
revoke execute on function private.keep_log() from public;

create trigger a_keep_log before delete on public.activity_log
for each row execute function private.keep_log();

create function private.prune_activity_log(older_than interval default interval '2 years', max_rows integer default 100000)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    pruned bigint;
begin
    if older_than is null or older_than < interval '1 year' then
        raise exception 'older_than must be a year or more'
            using errcode = 'invalid_parameter_value', hint = 'For example interval ''2 years''.';
    end if;
    with old as (
        select l.id from public.activity_log as l where l.at < now() - older_than order by l.at limit max_rows
    ), deleted as (
        delete from public.activity_log as l using old as o where l.id = o.id returning 1
    )
    select count(*) into pruned from deleted;
    return pruned;
end;
$$;
comment on function private.prune_activity_log(interval, integer) is 'Deletes old entries of the activity log, at least a year old. Returns how many went; call again until it is 0.';
revoke execute on function private.prune_activity_log(interval, integer) from public;
