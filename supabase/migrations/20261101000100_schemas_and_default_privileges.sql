-- Purpose: nothing is reachable by default. Everything that the API may use is granted by name later.
-- Tables:  none.
-- Locks:   none on existing objects.
-- Undo:    drop schema private; restore the default privileges with `alter default privileges ... grant`.
set lock_timeout = '2s';
set statement_timeout = '60s';

create schema private;
comment on schema private is 'Helpers, guards, state machines and the machinery of the change feed. Never exposed by the API.';
revoke all on schema private from public;
-- Policies and invoker triggers call helpers here as the signed-in user.
grant usage on schema private to authenticated, service_role;

-- Without "in schema": PUBLIC's right to execute new functions is a global default that a per-schema revoke cannot take away.
alter default privileges revoke execute on functions from public;
alter default privileges in schema public revoke all on tables from public, anon, authenticated, service_role;
alter default privileges in schema public revoke all on sequences from public, anon, authenticated, service_role;
alter default privileges in schema public revoke all on functions from public, anon, authenticated, service_role;
