-- Purpose: one effect per Idempotency-Key. The first row a request writes claims the key in the same transaction; a copy of
--          the request waits for it and is refused with PS001 (same request) or PS002 (the key belongs to another request).
-- Tables:  private.request_claims (new); a trigger on every table that the API writes.
-- Locks:   share row exclusive on each of them for an instant.
-- Undo:    drop trigger a_claim_request on each table; drop function public.request_claim, private.request_claim,
--          private.claim_request, private.prune_request_claims; drop table private.request_claims;
set lock_timeout = '2s';
set statement_timeout = '60s';

create table private.request_claims (
    actor uuid not null,
    key text not null constraint request_claims_key_length check (char_length(key) between 1 and 200),
    fingerprint text not null constraint request_claims_fingerprint_length check (char_length(fingerprint) between 1 and 200),
    claimed_at timestamptz not null default now(),
    constraint request_claims_pkey primary key (actor, key)
);
alter table private.request_claims enable row level security;
revoke all on private.request_claims from public, anon, authenticated, service_role;

comment on table private.request_claims is 'Requests that took effect, by the key their sender gave them. Read and written by triggers and RPCs only.';
comment on column private.request_claims.actor is 'The signed-in user; keys are each user''s own.';
comment on column private.request_claims.key is 'Idempotency-Key header.';
comment on column private.request_claims.fingerprint is 'X-Request-Fingerprint header: a digest of method, path and body.';
comment on column private.request_claims.claimed_at is 'When the request took effect.';

create index request_claims_claimed_at_idx on private.request_claims (claimed_at);

create function private.claim_request()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    headers jsonb := current_setting('request.headers', true)::jsonb;
    given_key text := left(headers ->> 'idempotency-key', 200);
    given_fingerprint text := left(headers ->> 'x-request-fingerprint', 200);
    who uuid := private.current_uid();
    known text;
begin
    -- The setting ends with the transaction, and with a savepoint that is rolled back: exactly as the claim does.
    if given_key is null or given_key = '' or who is null or current_setting('portal_sync.claimed_key', true) = given_key then
        return new;
    end if;
    insert into private.request_claims (actor, key, fingerprint) values (who, given_key, given_fingerprint)
    on conflict on constraint request_claims_pkey do nothing;
    if found then
        perform set_config('portal_sync.claimed_key', given_key, true);
        return new;
    end if;
    select c.fingerprint into known from private.request_claims as c where c.actor = who and c.key = given_key;
    if known = given_fingerprint then
        raise exception 'this request has already taken effect'
            using errcode = 'PS001', hint = 'Read the row: it holds the effect of the first copy.';
    end if;
    raise exception 'the Idempotency-Key belongs to another request'
        using errcode = 'PS002', hint = 'Use a new key for a new request.';
end;
$$;
comment on function private.claim_request() is 'BEFORE INSERT OR UPDATE: claims the request''s Idempotency-Key once per transaction.';
revoke execute on function private.claim_request() from public;

create function private.request_claim(key text, fingerprint text)
returns text
language sql
stable
security definer
set search_path = ''
as $$
    select coalesce((
        select case when c.fingerprint = request_claim.fingerprint then 'same' else 'other' end
        from private.request_claims as c
        where c.actor = private.current_uid() and c.key = request_claim.key
    ), 'none');
$$;
comment on function private.request_claim(text, text) is 'Checked work of public.request_claim.';
revoke execute on function private.request_claim(text, text) from public;
grant execute on function private.request_claim(text, text) to authenticated, service_role;

create function public.request_claim(key text, fingerprint text)
returns text
language sql
stable
set search_path = ''
as $$
    select private.request_claim(key, fingerprint);
$$;
comment on function public.request_claim(text, text) is 'Did a request of the caller with this key take effect: none, same (and the same request) or other.';
revoke execute on function public.request_claim(text, text) from public, anon;
grant execute on function public.request_claim(text, text) to authenticated, service_role;

create function private.prune_request_claims(older_than interval default '2 days')
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    removed bigint;
begin
    delete from private.request_claims as c where c.claimed_at < now() - older_than;
    get diagnostics removed = row_count;
    return removed;
end;
$$;
comment on function private.prune_request_claims(interval) is 'For the owner: forgets old keys. Schedule it, for example with pg_cron.';
revoke execute on function private.prune_request_claims(interval) from public;
