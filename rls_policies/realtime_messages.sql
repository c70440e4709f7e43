-- Who may join and send on private Realtime channels: a customer on the own topics, active staff on customer:* and staff:*.
-- The table belongs to Supabase; only its policies are ours. Topics are compared as text: a malformed one is refused, it never raises.

drop policy if exists "customers and staff receive on their topics" on realtime.messages;
create policy "customers and staff receive on their topics" on realtime.messages
for select to authenticated
using (
    extension in ('broadcast', 'presence')
    and (select private.may_use_topic((select realtime.topic())))
);

drop policy if exists "customers and staff send on their topics" on realtime.messages;
create policy "customers and staff send on their topics" on realtime.messages
for insert to authenticated
with check (
    extension in ('broadcast', 'presence')
    and (select private.may_use_topic((select realtime.topic())))
);
