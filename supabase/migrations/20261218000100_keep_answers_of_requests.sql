-- Purpose: room for the answer to a request beside the claim of its Idempotency-Key: kept in the same transaction, forgotten with it.
-- Tables:  private.request_claims (a nullable column).
-- Locks:   access exclusive on private.request_claims for an instant.
-- Undo:    drop function public.request_answer, private.request_answer, private.keep_answer; drop the column.
set lock_timeout = '2s';
set statement_timeout = '60s';

alter table private.request_claims add column answer jsonb;
comment on column private.request_claims.answer is 'What the first copy was told, where the rows it wrote do not say it; else null. Ids, versions, counts and refusals; no rows.';

create function private.keep_answer(answer jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
begin
    update private.request_claims as c set answer = keep_answer.answer
    where c.actor = private.current_uid() and c.key = nullif(current_setting('portal_sync.claimed_key', true), '');
    return answer;
end;
$$;
comment on function private.keep_answer(jsonb) is 'Keeps the answer with the key that this transaction has claimed, if it has; returns it.';
revoke execute on function private.keep_answer(jsonb) from public;
grant execute on function private.keep_answer(jsonb) to authenticated, service_role;

create function private.request_answer(key text, fingerprint text)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
    select c.answer from private.request_claims as c
    where c.actor = private.current_uid() and c.key = request_answer.key and c.fingerprint = request_answer.fingerprint;
$$;
comment on function private.request_answer(text, text) is 'Checked work of public.request_answer.';
revoke execute on function private.request_answer(text, text) from public;
grant execute on function private.request_answer(text, text) to authenticated, service_role;

create function public.request_answer(key text, fingerprint text)
returns jsonb
language sql
stable
set search_path = ''
as $$
    select private.request_answer(key, fingerprint);
$$;
comment on function public.request_answer(text, text) is 'What the first copy of this request of the caller was told; null if that was not kept.';
revoke execute on function public.request_answer(text, text) from public, anon;
grant execute on function public.request_answer(text, text) to authenticated, service_role;
