-- Purpose: who is calling and under which request id, read from the settings that the API provides. Never raises.
-- Tables:  none.
-- Locks:   none.
-- Undo:    drop function private.current_uid, private.request_id;
set lock_timeout = '2s';
set statement_timeout = '60s';

create function private.current_uid()
returns uuid
language plpgsql
stable
set search_path = ''
as $$
begin
    -- auth.uid() raises when the claims are no JSON or "sub" is no uuid; a raising policy silences Realtime for the whole project.
    return auth.uid();
exception
    when data_exception then
        return null;
end;
$$;
comment on function private.current_uid() is 'The signed-in user, or null: also null where auth.uid() would raise because of malformed claims.';
revoke execute on function private.current_uid() from public;
grant execute on function private.current_uid() to authenticated, service_role;

create function private.request_id()
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
    headers text := nullif(current_setting('request.headers', true), '');
begin
    if headers is null then
        return null;
    end if;
    -- The idempotency key wins: it is the caller's own, while a gateway may invent x-request-id.
    return left(coalesce(headers::jsonb ->> 'idempotency-key', headers::jsonb ->> 'x-request-id'), 200);
exception
    when data_exception then
        return null;
end;
$$;
comment on function private.request_id() is 'Idempotency-Key header of the API request, else its X-Request-Id, else null; at most 200 characters.';
revoke execute on function private.request_id() from public;
grant execute on function private.request_id() to authenticated, service_role;
