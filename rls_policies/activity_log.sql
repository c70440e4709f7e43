-- Staff read it; rows about staff are for admins, rows about leads follow the lead.
alter table public.activity_log enable row level security;
revoke all on public.activity_log from public, anon, authenticated, service_role;

grant select on public.activity_log to authenticated;
grant select on public.activity_log to service_role;

drop policy if exists "staff read the log, less staff and other agents' leads" on public.activity_log;
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
