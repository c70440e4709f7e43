-- Staff read; admins write through create_staff and update_staff, beside them only the owner and the secret key.
alter table public.staff enable row level security;
revoke all on public.staff from public, anon, authenticated, service_role;

grant select on public.staff to authenticated;
grant select, insert, update on public.staff to service_role;

drop policy if exists "staff read staff" on public.staff;
create policy "staff read staff" on public.staff
for select to authenticated
using (
    (select private.is_staff())
);
