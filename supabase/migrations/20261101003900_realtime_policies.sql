-- Purpose: private Realtime channels: a customer on the own topics, active staff on customer:* and staff:*.
-- Tables:  policies on realtime.messages, the one thing that may be changed in that schema.
-- Locks:   access exclusive on realtime.messages for an instant.
-- Undo:    drop the two policies; drop function private.may_use_topic;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.may_use_topic(topic text)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    own text;
begin
    if topic is null then
        return false;
    elsif private.is_staff() then
        return starts_with(topic, 'customer:') or starts_with(topic, 'staff:');
    end if;
    own := private.my_scope();
    return coalesce(topic = own or starts_with(topic, own || ':'), false);
end;
$$;
comment on function private.may_use_topic(text) is 'May the signed-in user join and send on this private channel? False, never an error, for anything else.';
revoke execute on function private.may_use_topic(text) from public;
grant execute on function private.may_use_topic(text) to authenticated, service_role;

create policy "customers and staff receive on their topics" on realtime.messages
for select to authenticated
using (
    extension in ('broadcast', 'presence')
    and (select private.may_use_topic((select realtime.topic())))
);

create policy "customers and staff send on their topics" on realtime.messages
for insert to authenticated
with check (
    extension in ('broadcast', 'presence')
    and (select private.may_use_topic((select realtime.topic())))
);
