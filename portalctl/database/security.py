"""The security state of a database as a set of facts that can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]

FILE_KINDS = frozenset({"rls", "grant", "column", "policy"})


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """One thing that decides who may do what.

    Attributes:
        kind: rls, grant, column, policy, trigger, function, default, schema or publication.
        subject: Table, function or schema that it is about, with its schema.
        text: The fact itself; without row data.
    """

    kind: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}: {self.text}"


# Only what the API's roles get: other roles differ between platforms.
_GRANTEES = """
    grantees (id, name) as (
        select 0::oid, 'public' union all
        select oid, rolname::text from pg_roles
        where rolname in ('anon', 'authenticated', 'service_role')),
    relations as (
        select c.oid, c.relname, c.relacl, c.relkind, c.relrowsecurity, c.relforcerowsecurity,
            s.nspname || '.' || c.relname as subject
        from pg_class as c join pg_namespace as s on s.oid = c.relnamespace
        where s.nspname in ('public', 'private') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S'))"""
_QUERY = f"""
with {_GRANTEES}
select 'rls' as kind, subject, case when not relrowsecurity then 'disabled'
    when relforcerowsecurity then 'forced' else 'enabled' end as text
from relations where relkind in ('r', 'p')
union all
select 'grant', r.subject, g.privilege_type || ' to ' || n.name
    || case when g.is_grantable then ' with grant option' else '' end
from relations as r, aclexplode(r.relacl) as g join grantees as n on n.id = g.grantee
union all
select 'column', r.subject, g.privilege_type || ' (' || a.attname || ') to ' || n.name
from relations as r join pg_attribute as a on a.attrelid = r.oid and not a.attisdropped,
    aclexplode(a.attacl) as g join grantees as n on n.id = g.grantee
union all
select 'policy', schemaname || '.' || tablename, '"' || policyname || '" ' || lower(permissive)
    || ' for ' || lower(cmd) || ' to ' || array_to_string(roles, ', ')
    || coalesce(' using ' || qual, '') || coalesce(' with check ' || with_check, '')
from pg_policies
where schemaname in ('public', 'private') or (schemaname = 'realtime' and tablename = 'messages')
union all
select 'trigger', r.subject, pg_get_triggerdef(t.oid)
    || case t.tgenabled when 'O' then '' else ' (enabled: ' || t.tgenabled::text || ')' end
from pg_trigger as t join relations as r on r.oid = t.tgrelid where not t.tgisinternal
union all
select 'function', p.oid::regprocedure::text,
    case when p.prosecdef then 'security definer' else 'security invoker' end
    || ', ' || coalesce(array_to_string(p.proconfig, ', '), 'no settings')
    || ', body ' || left(md5(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)), 8)
from pg_proc as p join pg_namespace as s on s.oid = p.pronamespace
where s.nspname in ('public', 'private')
and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
union all
select 'function', p.oid::regprocedure::text, 'execute to ' || n.name
from pg_proc as p join pg_namespace as s on s.oid = p.pronamespace,
    aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as g
    join grantees as n on n.id = g.grantee
where s.nspname in ('public', 'private')
and not exists (select from pg_depend as d where d.objid = p.oid and d.deptype = 'e')
union all
select 'default', coalesce(s.nspname::text, 'every schema'),
    g.privilege_type || ' on new ' || case d.defaclobjtype when 'r' then 'tables'
        when 'S' then 'sequences' when 'f' then 'functions' else d.defaclobjtype::text end
    || ' to ' || n.name
from pg_default_acl as d left join pg_namespace as s on s.oid = d.defaclnamespace,
    aclexplode(d.defaclacl) as g join grantees as n on n.id = g.grantee
where d.defaclrole = 'postgres'::regrole
and (d.defaclnamespace = 0 or s.nspname in ('public', 'private'))
union all
-- Absent means PostgreSQL's own default, with which everybody may execute new functions.
select 'default', 'every schema', 'EXECUTE on new functions to public'
where not exists (
    select from pg_default_acl where defaclrole = 'postgres'::regrole
    and defaclnamespace = 0 and defaclobjtype = 'f')
union all
select 'schema', s.nspname, g.privilege_type || ' to ' || n.name
from pg_namespace as s, aclexplode(s.nspacl) as g join grantees as n on n.id = g.grantee
where s.nspname in ('public', 'private')
union all
select 'publication', schemaname || '.' || tablename, 'member of ' || pubname
from pg_publication_tables
where pubname = 'supabase_realtime' and schemaname in ('public', 'private')
order by 1, 2, 3
"""

# Takes the security layer off, so that the files alone say what it is afterwards.
STRIP = """
do $$
declare
    found record;
begin
    for found in select * from pg_policies
        where schemaname = 'public' or (schemaname = 'realtime' and tablename = 'messages')
    loop
        execute format('drop policy %I on %I.%I',
            found.policyname, found.schemaname, found.tablename);
    end loop;
    for found in select oid::regclass as name from pg_class
        where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
    loop
        execute format('revoke all on %s from public, anon, authenticated, service_role',
            found.name);
        execute format('alter table %s disable row level security', found.name);
    end loop;
end;
$$
"""


async def read_security(connection: Connection) -> frozenset[Fact]:
    """Return the facts of a database; it reads the catalogue alone."""
    async with connection.transaction(readonly=True):
        # Expressions are printed with every name qualified, whoever connects.
        await connection.execute("set local search_path = ''")
        rows = await connection.fetch(_QUERY)
    return frozenset(Fact(row["kind"], row["subject"], row["text"]) for row in rows)
