-- Which roles hold which privileges: anon nothing, nobody DELETE, the log and the feed read only.
begin;
set local search_path = public, extensions;
select plan(25);

select table_privs_are('public', t.name, 'anon', '{}'::name[], 'anon has nothing on ' || t.name)
from (
    select relname::name as name from pg_class
    where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname
) as t;

select table_privs_are('public', t.name, 'authenticated', array['SELECT']::name[], 'the API only reads ' || t.name)
from unnest(array['activity_log', 'sync_changes', 'sync_scopes', 'loyalty_accounts']::name[]) as t (name);

select ok(not has_schema_privilege('anon', 'private', 'usage'), 'anon cannot enter schema private');
select ok(not has_column_privilege('authenticated', 'public.customers', 'portal_user_id', 'update'), 'nobody links a portal user by an update');
select ok(not has_column_privilege('authenticated', 'public.invoices', 'total_cents', 'update'), 'nobody writes the total of an invoice');
select function_privs_are('public', 'portal_pull', array['text', 'text', 'text', 'text'], 'anon', '{}'::name[]);

select * from finish();
rollback;
