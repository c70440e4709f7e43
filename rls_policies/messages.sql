-- Staff and the customer read the thread and write to it; each marks the other side's messages as read. Nobody edits a body.
alter table public.messages enable row level security;
revoke all on public.messages from public, anon, authenticated, service_role;

grant select on public.messages to authenticated;
grant insert (id, customer_id, sender, sender_id, sender_name, body, read_at, created_at, updated_at, version) on public.messages to authenticated;
grant update (read_at, created_at, updated_at, version) on public.messages to authenticated;
grant select, insert, update on public.messages to service_role;

drop policy if exists "staff read every message, a customer the own thread" on public.messages;
create policy "staff read every message, a customer the own thread" on public.messages
for select to authenticated
using (
    (customer_id = (select private.my_customer_id()) and deleted_at is null) or (select private.is_staff())
);

drop policy if exists "staff write to every customer, a customer to the own thread" on public.messages;
create policy "staff write to every customer, a customer to the own thread" on public.messages
for insert to authenticated
with check (
    ((select private.is_staff()) and sender = 'staff') or (customer_id = (select private.my_customer_id()) and sender = 'customer')
);

drop policy if exists "the receiver marks a message as read" on public.messages;
create policy "the receiver marks a message as read" on public.messages
for update to authenticated
using (
    ((select private.is_staff()) and sender = 'customer') or (customer_id = (select private.my_customer_id()) and sender = 'staff' and deleted_at is null)
)
with check (
    ((select private.is_staff()) and sender = 'customer') or (customer_id = (select private.my_customer_id()) and sender = 'staff')
);
