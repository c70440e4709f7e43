"""The lints of Supabase's database linter that make sense on plain PostgreSQL, in our own words.

Each is named by its number and returns the names of what breaks it, in `public` and `private` and
whatever schemas `pgrst.db_schemas` exposes. Not here, with the reason:

* 0005, 0020: about use and bloat of a live database; `portalctl doctor` is the place.
* 0012: has no SQL. 0019, 0025, 0026, 0027: pgmq, storage and pg_graphql, which we do not use.
"""

from __future__ import annotations

from collections.abc import Mapping

OURS = "('public', 'private')"
EXPOSED = "string_to_array(current_setting('pgrst.db_schemas'), ',')"
API_READS = (
    "(has_any_column_privilege('anon', c.oid, 'select') "
    "or has_any_column_privilege('authenticated', c.oid, 'select'))"
)
NAMED = "c.oid::regclass::text from pg_class c join pg_namespace s on s.oid = c.relnamespace"
POLICY = "schemaname || '.' || tablename || ' ' || policyname from pg_policies"
BOTH = "coalesce(qual, '') || ' ' || coalesce(with_check, '')"


def _exposed_kind(kind: str) -> str:
    return (
        f"select {NAMED} where c.relkind = '{kind}' and s.nspname = any ({EXPOSED}) and {API_READS}"
    )


def _exposed_definer(role: str) -> str:
    return f"""
        select p.oid::regprocedure::text from pg_proc p
        join pg_namespace s on s.oid = p.pronamespace
        where p.prosecdef and s.nspname = any ({EXPOSED})
        and has_function_privilege('{role}', p.oid, 'execute')"""


LINTS: Mapping[str, str] = {
    "0001 unindexed foreign keys": f"""
        select c.conrelid::regclass || '.' || c.conname from pg_constraint c
        join pg_class t on t.oid = c.conrelid join pg_namespace s on s.oid = t.relnamespace
        where s.nspname in {OURS} and c.contype = 'f' and not exists (
            select from pg_index i where i.indrelid = c.conrelid and i.indpred is null
            and (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey)""",
    "0002 auth.users exposed": f"""
        select {NAMED} where c.relkind in ('v', 'm') and s.nspname = any ({EXPOSED})
        and {API_READS} and exists (
            select from pg_rewrite r join pg_depend d on d.objid = r.oid
            where r.ev_class = c.oid and d.refobjid = 'auth.users'::regclass)""",
    "0003 auth functions called per row": f"""
        select {POLICY}, lateral (select regexp_replace({BOTH},
            '\\( ?SELECT (auth\\.(uid|jwt|role|email)|current_setting)\\(', '', 'gi') as rest) x
        where schemaname in ('public', 'private', 'realtime')
        and rest ~ '(auth\\.(uid|jwt|role|email)|current_setting)\\('""",
    "0004 no primary key": f"""
        select {NAMED} where s.nspname in {OURS} and c.relkind in ('r', 'p')
        and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)""",
    "0006 multiple permissive policies": """
        select schemaname || '.' || tablename || ' ' || v.verb from pg_policies,
            unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) v (verb)
        where permissive = 'PERMISSIVE' and (cmd = v.verb or cmd = 'ALL')
        and schemaname in ('public', 'private', 'realtime')
        group by schemaname, tablename, v.verb having count(*) > 1""",
    "0007 policies without row level security": f"""
        select distinct {NAMED} join pg_policy p on p.polrelid = c.oid
        where not c.relrowsecurity and s.nspname in {OURS}""",
    "0008 row level security without policies": """
        select c.oid::regclass::text from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
        and c.relrowsecurity and not exists (select from pg_policy p where p.polrelid = c.oid)""",
    "0009 duplicate indexes": f"""
        select min(i.indexrelid::regclass::text) from pg_index i
        join pg_class c on c.oid = i.indrelid join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in {OURS}
        group by i.indrelid, i.indkey::text, i.indclass::text, i.indoption::text,
            coalesce(pg_get_expr(i.indexprs, i.indrelid), ''),
            coalesce(pg_get_expr(i.indpred, i.indrelid), '')
        having count(*) > 1""",
    "0010 view with its owner's rights": f"""
        select {NAMED} where c.relkind = 'v' and s.nspname = any ({EXPOSED}) and {API_READS}
        and not coalesce(c.reloptions::text ~ 'security_invoker=(true|on|1)', false)""",
    "0011 function with a mutable search_path": f"""
        select p.oid::regprocedure::text from pg_proc p
        join pg_namespace s on s.oid = p.pronamespace where s.nspname in {OURS}
        and not exists (select from unnest(p.proconfig) g where g like 'search_path=%')""",
    "0013 row level security disabled": f"""
        select {NAMED} where s.nspname = any ({EXPOSED}) and c.relkind in ('r', 'p')
        and not c.relrowsecurity and {API_READS}""",
    "0014 extension in public": """
        select extname from pg_extension where extnamespace = 'public'::regnamespace""",
    "0015 policy reads user_metadata": f"select {POLICY} where {BOTH} ~ 'user_metadata'",
    "0016 materialized view exposed": _exposed_kind("m"),
    "0017 foreign table exposed": _exposed_kind("f"),
    "0018 column types that block an upgrade": f"""
        select c.oid::regclass || '.' || a.attname from pg_attribute a
        join pg_class c on c.oid = a.attrelid join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in {OURS} and a.attnum > 0 and not a.attisdropped
        and c.relkind in ('r', 'p', 'm') and a.atttypid in (
            'regcollation'::regtype, 'regconfig'::regtype, 'regdictionary'::regtype,
            'regnamespace'::regtype, 'regoper'::regtype, 'regoperator'::regtype,
            'regproc'::regtype, 'regprocedure'::regtype)""",
    "0021 foreign key to a unique key of auth": """
        select c.conrelid::regclass || '.' || c.conname from pg_constraint c
        join pg_class t on t.oid = c.confrelid
        where c.contype = 'f' and t.relnamespace = 'auth'::regnamespace
        and c.connamespace in ('public'::regnamespace, 'private'::regnamespace)
        and not exists (
            select from pg_index i where i.indexrelid = c.conindid and i.indisprimary)""",
    "0022 outdated extension": """
        select e.extname from pg_extension e
        join pg_available_extensions a on a.name = e.extname
        where a.default_version <> e.extversion""",
    "0023 sensitive columns without row level security": f"""
        select c.oid::regclass || '.' || a.attname from pg_attribute a
        join pg_class c on c.oid = a.attrelid join pg_namespace s on s.oid = c.relnamespace
        where s.nspname = any ({EXPOSED}) and c.relkind in ('r', 'p') and not c.relrowsecurity
        and {API_READS} and a.attname ~ '(password|token|secret|ssn|iban|card_number|api_key)'""",
    "0024 writes that a policy lets everybody do": f"""
        select {POLICY} where schemaname in ('public', 'private', 'realtime')
        and cmd <> 'SELECT'
        and (qual in ('true', '(1 = 1)') or with_check in ('true', '(1 = 1)'))""",
    "0028 definer function for anon": _exposed_definer("anon"),
    "0029 definer function for authenticated": _exposed_definer("authenticated"),
    # What the official linter does not see.
    "own: helper called per row": r"""
        select schemaname || '.' || tablename || ' ' || policyname from pg_policies,
            lateral (select regexp_replace(coalesce(qual, '') || ' ' || coalesce(with_check, ''),
                '\( ?SELECT (private|auth|realtime)\.', '', 'g') as rest) x
        where schemaname in ('public', 'private', 'realtime')
        and rest ~ '\m(private|auth|realtime)\.\w+\('""",
    "own: realtime policy for everything": """
        select policyname from pg_policies where schemaname = 'realtime'
        and (qual in ('true') or with_check in ('true') or 'anon' = any (roles)
            or 'public' = any (roles))""",
    "own: write grants on a table without row level security": f"""
        select {NAMED} where s.nspname = any ({EXPOSED}) and c.relkind in ('r', 'p')
        and not c.relrowsecurity
        and (has_any_column_privilege('authenticated', c.oid, 'insert, update')
            or has_table_privilege('authenticated', c.oid, 'delete, truncate'))""",
    "own: comment missing": f"""
        select {NAMED} where s.nspname in {OURS} and c.relkind in ('r', 'p', 'v', 'm')
        and obj_description(c.oid, 'pg_class') is null
        union all
        select 'trigger ' || t.tgname || ' on ' || t.tgrelid::regclass from pg_trigger t
        join pg_class c on c.oid = t.tgrelid join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in {OURS} and not t.tgisinternal
        and obj_description(t.tgfoid, 'pg_proc') is null
        union all
        select 'schema ' || nspname from pg_namespace where nspname in {OURS}
        and obj_description(oid, 'pg_namespace') is null""",
}

# Each makes its lint fire: a linter that finds nothing anywhere looks just like a clean schema.
CANARIES: Mapping[str, str] = {
    "0001": "alter table calls add column job_id uuid references jobs (id)",
    "0002": "create view public.v as select id from auth.users; grant select on v to anon",
    "0003": "create policy p on jobs for delete to authenticated using (auth.uid() = customer_id)",
    "0004": "create table public.t (id int)",
    "0006": "create policy p on jobs for all to authenticated using (false)",
    "0007": "alter table jobs disable row level security",
    "0008": "create table public.t (id int primary key); alter table t enable row level security",
    "0009": "create index a on jobs (title, address); create index b on jobs (title, address)",
    "0010": "create view public.v as select 1 as x; grant select on v to authenticated",
    "0011": "create function private.f() returns int language sql as 'select 1'",
    "0013": "create table public.t (id int primary key); grant select on t to anon",
    "0014": "update pg_extension set extnamespace = 'public'::regnamespace",
    "0015": """create policy p on jobs for delete to authenticated
        using ((select auth.jwt() -> 'user_metadata' ->> 'x') = 'y')""",
    "0016": "create materialized view public.m as select 1 as x; grant select on m to anon",
    "0017": """create foreign data wrapper w; create server r foreign data wrapper w;
        create foreign table public.f (id int) server r; grant select on f to anon""",
    "0018": "alter table jobs add column x regproc",
    "0021": """alter table auth.users add constraint u unique (id, email);
        alter table calls add column email varchar,
        add constraint x foreign key (staff_id, email) references auth.users (id, email)""",
    "0022": "update pg_extension set extversion = '0.1' where extname = 'plpgsql'",
    "0023": """create table public.t (id int primary key, api_token text);
        grant select on t to authenticated""",
    "0024": "create policy p on jobs for delete to authenticated using (true)",
    "0028": """create function public.f() returns int language sql security definer as 'select 1';
        grant execute on function public.f() to anon""",
    "0029": """create function public.f() returns int language sql security definer as 'select 1';
        grant execute on function public.f() to authenticated""",
    "own: helper called per row": (
        "create policy p on jobs for delete to authenticated using (private.is_staff())"
    ),
    "own: realtime policy for everything": (
        "create policy p on realtime.messages for select to authenticated using (true)"
    ),
    "own: write grants on a table without row level security": (
        "create table public.t (id int primary key); grant insert on t to authenticated"
    ),
    "own: comment missing": "create table public.t (id int primary key)",
}
