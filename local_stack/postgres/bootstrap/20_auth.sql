-- Purpose: schema auth as a Supabase project has it: users, identities, sessions, refresh tokens, and the
--          functions that policies read the caller's identity with.
-- Runs as: supabase_admin, after 10_roles.sql, in a fresh database, in one transaction.
-- Undo:    drop schema auth cascade.

create schema auth authorization supabase_auth_admin;
comment on schema auth is 'Users and sessions. Owned by the auth server; the API roles read it only through auth.uid() and its siblings.';

-- Everything below belongs to the auth server's role, as on a hosted project.
set local role supabase_auth_admin;

create type auth.aal_level as enum ('aal1', 'aal2', 'aal3');
comment on type auth.aal_level is 'Authenticator assurance level of a session.';

-- Users ------------------------------------------------------------------------------------------------

create table auth.users (
    instance_id uuid,
    id uuid not null,
    aud varchar(255),
    role varchar(255),
    email varchar(255),
    encrypted_password varchar(255),
    email_confirmed_at timestamptz,
    invited_at timestamptz,
    confirmation_token varchar(255),
    confirmation_sent_at timestamptz,
    recovery_token varchar(255),
    recovery_sent_at timestamptz,
    email_change_token_new varchar(255),
    email_change varchar(255),
    email_change_sent_at timestamptz,
    last_sign_in_at timestamptz,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    is_super_admin boolean,
    created_at timestamptz,
    updated_at timestamptz,
    phone text default null,
    phone_confirmed_at timestamptz,
    phone_change text default '',
    phone_change_token varchar(255) default '',
    phone_change_sent_at timestamptz,
    confirmed_at timestamptz generated always as (least(email_confirmed_at, phone_confirmed_at)) stored,
    email_change_token_current varchar(255) default '',
    email_change_confirm_status smallint default 0,
    banned_until timestamptz,
    reauthentication_token varchar(255) default '',
    reauthentication_sent_at timestamptz,
    is_sso_user boolean not null default false,
    deleted_at timestamptz,
    is_anonymous boolean not null default false,
    constraint users_pkey primary key (id),
    constraint users_phone_key unique (phone),
    constraint users_email_change_confirm_status_check check (email_change_confirm_status between 0 and 2)
);
comment on table auth.users is 'Auth: Stores user login data within a secure schema.';
comment on column auth.users.instance_id is 'Always the zero uuid in a project; kept because seeds fill it.';
comment on column auth.users.id is 'The user''s id; sub of their tokens and the value of auth.uid().';
comment on column auth.users.aud is 'Audience of the user''s tokens: authenticated.';
comment on column auth.users.role is 'Database role of the user''s tokens: authenticated.';
comment on column auth.users.email is 'Lower-case e-mail address; unique among users who do not sign in by SSO.';
comment on column auth.users.encrypted_password is 'bcrypt hash; empty or null: the user has no password.';
comment on column auth.users.email_confirmed_at is 'When the address was confirmed; a user without it cannot sign in.';
comment on column auth.users.invited_at is 'When the user was invited; not used by the local stack.';
comment on column auth.users.confirmation_token is 'Pending sign-up confirmation; empty, never null.';
comment on column auth.users.confirmation_sent_at is 'When the confirmation was sent.';
comment on column auth.users.recovery_token is 'Pending password recovery; empty, never null.';
comment on column auth.users.recovery_sent_at is 'When the recovery was sent.';
comment on column auth.users.email_change_token_new is 'Pending confirmation at the new address; empty, never null.';
comment on column auth.users.email_change is 'The new address that waits for confirmation; empty, never null.';
comment on column auth.users.email_change_sent_at is 'When the change of address was asked for.';
comment on column auth.users.last_sign_in_at is 'Last time a session was opened.';
comment on column auth.users.raw_app_meta_data is 'app_metadata of the tokens; only administrators change it.';
comment on column auth.users.raw_user_meta_data is 'user_metadata of the tokens; the user may change it.';
comment on column auth.users.is_super_admin is 'Not used; kept because seeds fill it.';
comment on column auth.users.created_at is 'When the user came to be.';
comment on column auth.users.updated_at is 'Last change of the row by the auth server.';
comment on column auth.users.phone is 'Phone number, digits only; unique.';
comment on column auth.users.phone_confirmed_at is 'When the phone number was confirmed.';
comment on column auth.users.phone_change is 'The new number that waits for confirmation; empty, never null.';
comment on column auth.users.phone_change_token is 'Pending confirmation of the new number; empty, never null.';
comment on column auth.users.phone_change_sent_at is 'When the change of number was asked for.';
comment on column auth.users.confirmed_at is 'Generated: the earlier of both confirmations.';
comment on column auth.users.email_change_token_current is 'Pending confirmation at the old address; empty, never null.';
comment on column auth.users.email_change_confirm_status is 'How many of the two addresses confirmed a change: 0 to 2.';
comment on column auth.users.banned_until is 'Until then the user can neither sign in nor refresh.';
comment on column auth.users.reauthentication_token is 'Pending reauthentication; empty, never null.';
comment on column auth.users.reauthentication_sent_at is 'When the reauthentication was sent.';
comment on column auth.users.is_sso_user is 'Auth: Set this column to true when the account comes from SSO. These accounts can have duplicate emails.';
comment on column auth.users.deleted_at is 'Set when an administrator soft-deleted the user.';
comment on column auth.users.is_anonymous is 'True for users without e-mail, phone or other identity.';

create unique index users_email_partial_key on auth.users (email) where is_sso_user = false;
comment on index auth.users_email_partial_key is 'One user per address, SSO accounts apart.';
create index users_instance_id_email_idx on auth.users (instance_id, lower(email));
comment on index auth.users_instance_id_email_idx is 'Sign-in by address.';
create index users_created_at_idx on auth.users (created_at desc);
comment on index auth.users_created_at_idx is 'The administrators'' list, newest first.';

create table auth.identities (
    provider_id text not null,
    user_id uuid not null,
    identity_data jsonb not null,
    provider text not null,
    last_sign_in_at timestamptz,
    created_at timestamptz,
    updated_at timestamptz,
    email text generated always as (lower(identity_data ->> 'email')) stored,
    id uuid not null default gen_random_uuid(),
    constraint identities_pkey primary key (id),
    constraint identities_provider_id_provider_unique unique (provider_id, provider),
    constraint identities_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade
);
comment on table auth.identities is 'Auth: Stores identities associated to a user.';
comment on column auth.identities.provider_id is 'The user''s id at the provider; for e-mail and phone the user''s own id.';
comment on column auth.identities.user_id is 'Whose identity it is.';
comment on column auth.identities.identity_data is 'What the provider says about the user: sub, email, email_verified, phone_verified.';
comment on column auth.identities.provider is 'email or phone here; hosted projects also have OAuth and SSO providers.';
comment on column auth.identities.last_sign_in_at is 'Last sign-in through this identity.';
comment on column auth.identities.created_at is 'When the identity was added.';
comment on column auth.identities.updated_at is 'Last change of identity_data.';
comment on column auth.identities.email is 'Auth: Email is a generated column that references the optional email property in the identity_data.';
comment on column auth.identities.id is 'Shown by the API as identity_id.';

create index identities_user_id_idx on auth.identities (user_id);
comment on index auth.identities_user_id_idx is 'Identities of a user; also serves the foreign key.';
create index identities_email_idx on auth.identities (email text_pattern_ops);
comment on index auth.identities_email_idx is 'Auth: Ensures indexed queries on the email column.';

-- Sessions ---------------------------------------------------------------------------------------------

create table auth.sessions (
    id uuid not null,
    user_id uuid not null,
    created_at timestamptz,
    updated_at timestamptz,
    factor_id uuid,
    aal auth.aal_level,
    not_after timestamptz,
    refreshed_at timestamp,
    user_agent text,
    ip inet,
    tag text,
    constraint sessions_pkey primary key (id),
    constraint sessions_user_id_fkey foreign key (user_id) references auth.users (id) on delete cascade
);
comment on table auth.sessions is 'Auth: Stores session data associated to a user.';
comment on column auth.sessions.id is 'session_id of the session''s tokens.';
comment on column auth.sessions.user_id is 'Whose session it is.';
comment on column auth.sessions.created_at is 'When the user signed in.';
comment on column auth.sessions.updated_at is 'Last change of the row.';
comment on column auth.sessions.factor_id is 'Second factor of the session; not used by the local stack.';
comment on column auth.sessions.aal is 'Assurance level: aal1 after a password.';
comment on column auth.sessions.not_after is 'Auth: Not after is a nullable column that contains a timestamp after which the session should be regarded as expired.';
comment on column auth.sessions.refreshed_at is 'Last refresh, UTC.';
comment on column auth.sessions.user_agent is 'User-Agent of the request that opened or last refreshed the session.';
comment on column auth.sessions.ip is 'Address that request came from.';
comment on column auth.sessions.tag is 'Not used by the local stack.';

create index sessions_user_id_idx on auth.sessions (user_id);
comment on index auth.sessions_user_id_idx is 'Sessions of a user; also serves the foreign key.';
create index sessions_not_after_idx on auth.sessions (not_after desc);
comment on index auth.sessions_not_after_idx is 'Clean-up of expired sessions.';

create table auth.refresh_tokens (
    instance_id uuid,
    id bigint generated by default as identity,
    token varchar(255),
    user_id varchar(255),
    revoked boolean,
    created_at timestamptz,
    updated_at timestamptz,
    parent varchar(255),
    session_id uuid,
    constraint refresh_tokens_pkey primary key (id),
    constraint refresh_tokens_token_unique unique (token),
    constraint refresh_tokens_session_id_fkey foreign key (session_id) references auth.sessions (id) on delete cascade
);
comment on table auth.refresh_tokens is 'Auth: Store of tokens used to refresh JWT tokens once they expire.';
comment on column auth.refresh_tokens.instance_id is 'Always the zero uuid in a project.';
comment on column auth.refresh_tokens.id is 'Order in which the tokens were made.';
comment on column auth.refresh_tokens.token is 'The secret the client holds.';
comment on column auth.refresh_tokens.user_id is 'Whose token it is, as text.';
comment on column auth.refresh_tokens.revoked is 'True once used or withdrawn.';
comment on column auth.refresh_tokens.created_at is 'When it was issued.';
comment on column auth.refresh_tokens.updated_at is 'When it was revoked; the grace for a second use counts from here.';
comment on column auth.refresh_tokens.parent is 'The token that was exchanged for this one; null for the first of a session.';
comment on column auth.refresh_tokens.session_id is 'The session whose family of tokens it belongs to.';

create index refresh_tokens_session_id_revoked_idx on auth.refresh_tokens (session_id, revoked);
comment on index auth.refresh_tokens_session_id_revoked_idx is 'The active token of a session; also serves the foreign key.';
create index refresh_tokens_parent_idx on auth.refresh_tokens (parent);
comment on index auth.refresh_tokens_parent_idx is 'Successors of a token.';

-- Identity of the caller, for policies -------------------------------------------------------------------
-- A pooled connection leaves these settings as '' after a transaction, so '' must mean absent. No search_path
-- is pinned: that would keep the planner from inlining them, and they name no object.

create function auth.uid()
returns uuid
language sql
stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;
comment on function auth.uid() is 'Id of the signed-in user, or null. The sub claim of the request''s token.';

create function auth.role()
returns text
language sql
stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    )
$$;
comment on function auth.role() is 'Role claim of the request''s token, or null. Deprecated upstream: name roles in the policy''s TO clause instead.';

create function auth.email()
returns text
language sql
stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    )
$$;
comment on function auth.email() is 'E-mail claim of the request''s token, or null. Deprecated upstream: use auth.jwt() ->> ''email''.';

create function auth.jwt()
returns jsonb
language sql
stable
as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;
comment on function auth.jwt() is 'All claims of the request''s token, or null.';

-- Who may reach what -------------------------------------------------------------------------------------

alter table auth.users enable row level security;
alter table auth.identities enable row level security;
alter table auth.sessions enable row level security;
alter table auth.refresh_tokens enable row level security;

grant usage on schema auth to anon, authenticated, service_role, postgres;
grant execute on function auth.uid(), auth.role(), auth.email(), auth.jwt() to anon, authenticated, service_role, postgres;

-- The project owner seeds users, refers to them and puts triggers on them, but creates nothing in this schema.
grant all on auth.users, auth.identities, auth.sessions, auth.refresh_tokens to postgres;
grant usage, select on all sequences in schema auth to postgres;
grant usage on type auth.aal_level to postgres;

reset role;
