-- Purpose: the thread between staff and a customer (portal table), its sender and its read receipt.
-- Tables:  public.messages (new).
-- Locks:   share row exclusive on public.customers for the foreign key, for an instant.
-- Undo:    drop table public.messages; drop function private.fill_sender, private.apply_read;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table public.messages (
    id uuid not null default gen_random_uuid() constraint messages_pkey primary key,
    customer_id uuid not null,
    sender text not null default 'staff' constraint messages_sender_known check (sender in ('staff', 'customer')),
    sender_id uuid,
    sender_name text not null default 'Office' constraint messages_sender_name_length check (char_length(sender_name) between 1 and 200),
    body text not null constraint messages_body_length check (char_length(body) between 1 and 10000),
    read_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    version bigint not null default 1,
    constraint messages_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade
);
alter table public.messages enable row level security;
revoke all on public.messages from public, anon, authenticated, service_role;

comment on table public.messages is 'Messages between staff and a customer. The body never changes.';
comment on column public.messages.id is 'May be supplied by the client.';
comment on column public.messages.customer_id is 'The customer whose thread it is.';
comment on column public.messages.sender is 'staff or customer; filled in from the caller.';
comment on column public.messages.sender_id is 'The user who wrote it, or null when a service did.';
comment on column public.messages.sender_name is 'Name at the time of writing; filled in from the caller.';
comment on column public.messages.body is '1 to 10,000 characters.';
comment on column public.messages.read_at is 'When the receiver read it; set once, to the database''s clock.';
comment on column public.messages.deleted_at is 'Soft delete of a staff message; set by the RPC soft_delete.';
comment on column public.messages.created_at is 'Set by trigger.';
comment on column public.messages.updated_at is 'Set by trigger when something changed.';
comment on column public.messages.version is 'Raised by trigger when something changed.';

create index messages_customer_id_idx on public.messages (customer_id, created_at, id);
create index messages_updated_at_idx on public.messages (updated_at, id);
create index messages_unread_idx on public.messages (customer_id) where read_at is null and deleted_at is null;

create function private.fill_sender()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    -- The owner and the secret key may write in somebody's name (imports); a signed-in user only in their own.
    if current_user = 'authenticated' then
        new.sender := case when private.is_staff() then 'staff' else 'customer' end;
        new.sender_id := private.current_uid();
        new.sender_name := coalesce(private.my_name(), new.sender_name);
        new.read_at := null;
    end if;
    return new;
end;
$$;
comment on function private.fill_sender() is 'BEFORE INSERT: sender, sender_id and sender_name are those of the signed-in user; a new message is unread.';
revoke execute on function private.fill_sender() from public;

create function private.my_name()
returns text
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return coalesce(
        (select s.full_name from public.staff as s where s.user_id = private.current_uid() and s.active),
        (select c.name from public.customers as c where c.portal_user_id = private.current_uid())
    );
end;
$$;
comment on function private.my_name() is 'Name of the signed-in staff member or customer, or null.';
revoke execute on function private.my_name() from public;
grant execute on function private.my_name() to authenticated, service_role;

create function private.apply_read()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
    if old.read_at is not null then
        if new.read_at is null then
            raise exception 'a message that was read stays read'
                using errcode = 'check_violation', detail = format('message: %s', old.id), hint = 'Leave read_at alone.';
        end if;
        new.read_at := old.read_at; -- read twice: the first time counts
    elsif new.read_at is not null and current_user in ('authenticated', 'service_role') then
        new.read_at := now();
    end if;
    return new;
end;
$$;
comment on function private.apply_read() is 'BEFORE UPDATE: read_at is set once, to the database''s clock, and never taken back.';
revoke execute on function private.apply_read() from public;

create trigger b_fill_sender before insert on public.messages
for each row execute function private.fill_sender();
create trigger a_guard_update before update on public.messages
for each row execute function private.guard_customer_write('read_at');
create trigger b_keep_customer before update on public.messages
for each row execute function private.keep_customer();
create trigger m_read before update on public.messages
for each row execute function private.apply_read();
create trigger z_version before insert or update on public.messages
for each row execute function private.touch_row();
