-- Purpose: the request's headers are read from JSON once per look-up, not once for each header that is looked for.
-- Tables:  none.
-- Locks:   none.
-- Undo:    restore private.request_id of 20261101000200.
set lock_timeout = '2s';
set statement_timeout = '60s';

create or replace function private.request_id()
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
    headers jsonb;
begin
    -- Not in the declaration: what is raised there, this block does not catch.
    headers := nullif(current_setting('request.headers', true), '')::jsonb;
    -- The idempotency key wins: it is the caller's own, while a gateway may invent x-request-id.
    return left(coalesce(headers ->> 'idempotency-key', headers ->> 'x-request-id'), 200);
exception
    when data_exception then
        return null;
end;
$$;
