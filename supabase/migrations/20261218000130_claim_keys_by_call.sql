-- Purpose: a request that writes in many transactions, such as the import of a file, claims its Idempotency-Key by a call: the same
--          request may go on with it, another one is refused.
-- Tables:  private.request_claims at run time.
-- Locks:   none.
-- Undo:    drop function public.claim_request_key, private.claim_request_key;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.claim_request_key(key text, fingerprint text)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
#variable_conflict use_column
declare
    known text;
begin
    perform private.require_staff('claim keys of requests');
    insert into private.request_claims (actor, key, fingerprint)
    values (private.current_uid(), claim_request_key.key, claim_request_key.fingerprint)
    on conflict on constraint request_claims_pkey do nothing;
    if found then
        return true;
    end if;
    select c.fingerprint into known from private.request_claims as c
    where c.actor = private.current_uid() and c.key = claim_request_key.key;
    if known is distinct from claim_request_key.fingerprint then
        raise exception 'the Idempotency-Key belongs to another request'
            using errcode = 'PS002', detail = format('key: %s', left(claim_request_key.key, 63)), hint = 'Use a new key for a new request.';
    end if;
    return false;
end;
$$;
comment on function private.claim_request_key(text, text) is 'Checked work of public.claim_request_key.';
revoke execute on function private.claim_request_key(text, text) from public;
grant execute on function private.claim_request_key(text, text) to authenticated;

create function public.claim_request_key(key text, fingerprint text)
returns boolean
language sql
set search_path = ''
as $$
    select private.claim_request_key(key, fingerprint);
$$;
comment on function public.claim_request_key(text, text) is 'Staff: claim an Idempotency-Key for a request that writes in many transactions. True if it is new, false if this very request has it; PS002 if another one has.';
revoke execute on function public.claim_request_key(text, text) from public, anon;
grant execute on function public.claim_request_key(text, text) to authenticated;
