-- Purpose: who may do what on activity_log, sync_scopes, sync_changes: grants and policies, as in rls_policies/.
-- Tables:  public.activity_log, public.sync_scopes, public.sync_changes.
-- Locks:   access exclusive on them, for an instant; they are empty.
-- Undo:    drop the policies named below and revoke all on the tables from authenticated and service_role.
set lock_timeout = '2s';
set statement_timeout = '60s';

-- activity_log: Staff read it; rows about staff are for admins, rows about leads follow the lead.
grant select on public.activity_log to authenticated;
grant select on public.activity_log to service_role;

create policy "staff read the log, less staff and other agents' leads" on public.activity_log
for select to authenticated
using (
    (select private.is_admin())
    or ((select private.is_manager()) and table_name <> 'staff')
    or (
        (select private.is_staff())
        and table_name <> 'staff'
        and (table_name not in ('leads', 'lead_notes') or customer_id = any (array(select private.my_lead_ids())))
    )
);

-- sync_scopes: Staff read every head, a customer the own one. Written by the feed only.
grant select on public.sync_scopes to authenticated;
grant select on public.sync_scopes to service_role;

create policy "staff read every scope, a customer the own one" on public.sync_scopes
for select to authenticated
using (
    (select private.is_staff()) or scope = (select private.my_scope())
);

-- sync_changes: Staff read every change, a customer the own scope. Written by the feed only.
grant select on public.sync_changes to authenticated;
grant select on public.sync_changes to service_role;

create policy "staff read every change, a customer the own scope" on public.sync_changes
for select to authenticated
using (
    (select private.is_staff()) or scope = (select private.my_scope())
);
