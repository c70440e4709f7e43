-- Purpose: one-time invites that link a portal login to a customer. Only the hash of a token is kept.
-- Tables:  private.portal_invites (new).
-- Locks:   share row exclusive on public.customers for the foreign key, for an instant.
-- Undo:    drop table private.portal_invites; drop function private.log_invite;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table private.portal_invites (
    id uuid not null default gen_random_uuid() constraint portal_invites_pkey primary key,
    customer_id uuid not null,
    token_hash bytea not null constraint portal_invites_token_hash_key unique,
    created_by uuid,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    redeemed_at timestamptz,
    redeemed_by uuid,
    revoked_at timestamptz,
    constraint portal_invites_hash_is_sha256 check (octet_length(token_hash) = 32),
    constraint portal_invites_redeemed_by_somebody check ((redeemed_at is null) = (redeemed_by is null)),
    constraint portal_invites_customer_id_fkey foreign key (customer_id) references public.customers (id) on delete cascade
);
alter table private.portal_invites enable row level security;

comment on table private.portal_invites is 'Invites to link a portal login to a customer: single use, expiring. Reached only through the RPCs.';
comment on column private.portal_invites.id is 'Names the invite in the activity log.';
comment on column private.portal_invites.customer_id is 'The customer who is invited.';
comment on column private.portal_invites.token_hash is 'SHA-256 of the token; the token itself is shown once and kept nowhere.';
comment on column private.portal_invites.created_by is 'The staff member, or null for the secret key.';
comment on column private.portal_invites.created_at is 'When it was made.';
comment on column private.portal_invites.expires_at is 'Not valid from then on.';
comment on column private.portal_invites.redeemed_at is 'When it was used.';
comment on column private.portal_invites.redeemed_by is 'The user who is linked by it.';
comment on column private.portal_invites.revoked_at is 'When a newer invite, or an unlinking, took its place.';

create index portal_invites_customer_id_idx on private.portal_invites (customer_id);

create function private.log_invite(invite private.portal_invites, op text, "values" jsonb)
returns void
language sql
security definer
set search_path = ''
as $$
    insert into public.activity_log (table_name, row_id, customer_id, op, new, actor, actor_kind, request_id)
    values ('portal_invites', invite.id::text, invite.customer_id, op, "values", private.current_uid(), private.actor_kind(), private.request_id());
$$;
comment on function private.log_invite(private.portal_invites, text, jsonb) is 'Writes an invite''s life to the activity log, without the hash.';
revoke execute on function private.log_invite(private.portal_invites, text, jsonb) from public;
