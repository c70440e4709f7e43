"""Questions to the catalogue of a migrated database: each returns what breaks a rule."""

from __future__ import annotations

from collections.abc import Mapping

OURS = "('public', 'private')"
# For services, which answer with words of their own for what these refuse.
TERSE = """
    'bulk_write(text,jsonb,boolean,text)', 'dashboard(date,date,text)', 'private.claim_request()',
    'delete_row(text,uuid,bigint)', 'activity_since(text,integer)', 'private.key_column(text)',
    'assign_job(uuid,uuid,bigint)', 'private.prune_activity_log(interval,integer)',
    'private.set_customer_secret(uuid,text,text,bigint)', 'private.read_customer_secret(uuid,text)'
"""

RULES: Mapping[str, str] = {
    "tables without row level security": f"""
        select c.oid::regclass::text from pg_class c join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in {OURS} and c.relkind in ('r', 'p') and not c.relrowsecurity""",
    "tables without a primary key": f"""
        select c.oid::regclass::text from pg_class c join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in {OURS} and c.relkind in ('r', 'p')
        and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)""",
    "tables without a comment": f"""
        select c.oid::regclass::text from pg_class c join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in {OURS} and c.relkind in ('r', 'p', 'v', 'm')
        and obj_description(c.oid, 'pg_class') is null""",
    "columns without a comment": f"""
        select c.oid::regclass || '.' || a.attname from pg_attribute a
        join pg_class c on c.oid = a.attrelid join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in {OURS} and c.relkind in ('r', 'p', 'v', 'm')
        and a.attnum > 0 and not a.attisdropped and col_description(c.oid, a.attnum) is null""",
    "functions without a comment": f"""
        select p.oid::regprocedure::text from pg_proc p
        join pg_namespace s on s.oid = p.pronamespace
        where s.nspname in {OURS} and obj_description(p.oid, 'pg_proc') is null""",
    "functions without a pinned, empty search_path": f"""
        select p.oid::regprocedure::text from pg_proc p
        join pg_namespace s on s.oid = p.pronamespace
        where s.nspname in {OURS}
        and not coalesce('search_path=""' = any (p.proconfig), false)""",
    "refusals without SQLSTATE, detail or hint": f"""
        select p.oid::regprocedure || ': ' || left(r.words[1], 60) from pg_proc p
        join pg_namespace s on s.oid = p.pronamespace,
            regexp_matches(
                p.prosrc, 'raise exception ((?:''(?:[^'']|'''')*''|[^'';])*);', 'g'
            ) as r (words)
        where s.nspname in {OURS} and p.oid::regprocedure::text <> all (array[{TERSE}])
        and (r.words[1] !~ 'errcode = ' or r.words[1] !~ 'hint = '
            -- Whether somebody may do a thing is said by the message; there is no value to show.
            or (r.words[1] !~ 'detail = ' and r.words[1] !~ 'insufficient_privilege'))""",
    # Nothing else checks what they write: an entry is a remove if and only if it has no row.
    "writers of the change log besides the feed": """
        select p.oid::regprocedure::text from pg_proc p
        where p.prosrc ~* '(insert into|merge into|update) +public.sync_changes'
        and p.oid::regprocedure::text not in (
            'private.flush_row()', 'private.place_pending(xid8,bigint)',
            'private.blank_removed(text[],text[],uuid[],bigint[])')""",
    # Before they are computed, they look like changes: the version would rise without one.
    "generated columns that private.touch_row is not told of": f"""
        select t.tgrelid::regclass::text from pg_trigger t
        join pg_class c on c.oid = t.tgrelid join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in {OURS} and t.tgfoid = 'private.touch_row()'::regprocedure
        and encode(t.tgargs, 'escape') <> coalesce((
            select string_agg(a.attname || '\\000', '' order by a.attnum) from pg_attribute a
            where a.attrelid = t.tgrelid and a.attgenerated <> '' and not a.attisdropped), '')""",
    # A floor that rises is compared with an n that never falls.
    "triggers that an update of a column in their condition does not fire": f"""
        select t.tgrelid::regclass || '.' || t.tgname || ' ' || a.attname from pg_trigger t
        join pg_class c on c.oid = t.tgrelid join pg_namespace s on s.oid = c.relnamespace
        join pg_depend d on d.classid = 'pg_trigger'::regclass and d.objid = t.oid
            and d.refobjid = t.tgrelid and d.refobjsubid > 0
        join pg_attribute a on a.attrelid = t.tgrelid and a.attnum = d.refobjsubid
        where s.nspname in {OURS} and t.tgattr <> '' and a.attnum <> all (t.tgattr)
        and t.tgname <> 'floor_within'""",
    "definer functions that the API exposes": """
        select p.oid::regprocedure::text from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef""",
    "functions that everybody or anon may execute": f"""
        select p.oid::regprocedure::text from pg_proc p
        join pg_namespace s on s.oid = p.pronamespace
        where s.nspname in {OURS} and has_function_privilege('anon', p.oid, 'execute')""",
    "relations that anon may touch": f"""
        select c.oid::regclass::text from pg_class c join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in {OURS} and c.relkind in ('r', 'p', 'v', 'm', 'S')
        and c.relacl is not null
        and exists (
            select from aclexplode(c.relacl) g where g.grantee in (0, 'anon'::regrole::oid))""",
    "truncate, references, trigger or delete granted to an API role": f"""
        select c.oid::regclass || ' ' || g.privilege_type || ' ' || g.grantee::regrole
        from pg_class c join pg_namespace s on s.oid = c.relnamespace, aclexplode(c.relacl) g
        where s.nspname in {OURS} and g.grantee <> c.relowner
        and g.privilege_type in ('TRUNCATE', 'REFERENCES', 'TRIGGER', 'DELETE', 'MAINTAIN')""",
    "private tables granted to anybody": """
        select c.oid::regclass || ' ' || g.privilege_type
        from pg_class c, aclexplode(c.relacl) g
        where c.relnamespace = 'private'::regnamespace and c.relkind in ('r', 'p')
        and g.grantee <> c.relowner""",
    "default privileges that still give something to the API": """
        select d.defaclobjtype::text || ' ' || g.grantee::regrole::text || ' ' || g.privilege_type
        from pg_default_acl d, aclexplode(d.defaclacl) g
        where d.defaclrole = 'postgres'::regrole
        and d.defaclnamespace in (0, 'public'::regnamespace)
        and g.grantee <> d.defaclrole""",
    "policies that are permissive twice for one verb": """
        select tablename || ' ' || cmd from pg_policies where schemaname in ('public', 'private')
        group by tablename, cmd having count(*) > 1""",
    "policies for other roles than authenticated, or for all verbs": """
        select tablename || ': ' || policyname from pg_policies
        where schemaname in ('public', 'private', 'realtime')
        and (roles <> '{authenticated}' or cmd = 'ALL' or permissive <> 'PERMISSIVE')""",
    "update policies without both using and with check": """
        select tablename || ': ' || policyname from pg_policies
        where schemaname in ('public', 'realtime') and cmd = 'UPDATE'
        and (qual is null or with_check is null)""",
    "policies that call a helper outside of (select …)": r"""
        select tablename || ': ' || policyname
        from pg_policies, lateral regexp_replace(
            coalesce(qual, '') || ' ' || coalesce(with_check, ''),
            '\( ?SELECT (private|auth|realtime)\.', '', 'g') as rest
        where schemaname in ('public', 'realtime') and rest ~ '(private|auth|realtime)\.\w+\('
        and not (tablename = 'messages' and rest ~ 'may_use_topic')""",
    "foreign keys without an index": f"""
        select c.conrelid::regclass || '.' || c.conname from pg_constraint c
        join pg_class t on t.oid = c.conrelid join pg_namespace s on s.oid = t.relnamespace
        where s.nspname in {OURS} and c.contype = 'f' and not exists (
            select from pg_index i where i.indrelid = c.conrelid and i.indpred is null
            and (i.indkey::smallint[])[0:cardinality(c.conkey) - 1] @> c.conkey)""",
    "constraints with a made-up name": f"""
        select c.conrelid::regclass || '.' || c.conname from pg_constraint c
        join pg_namespace s on s.oid = c.connamespace
        where s.nspname in {OURS} and c.contype in ('c', 'u', 'p', 'f')
        and c.conname ~ '_(check|key|fkey)\\d+$'""",
    "columns that cannot use an index under row level security": """
        select a.attrelid::regclass || '.' || a.attname || ' ' || format_type(a.atttypid, null)
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        join pg_type t on t.oid = a.atttypid
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0
        and not a.attisdropped and (t.typtype = 'e' or t.typname = 'numeric')""",
    "triggers that are disabled": f"""
        select t.tgrelid::regclass || '.' || t.tgname from pg_trigger t
        join pg_class c on c.oid = t.tgrelid join pg_namespace s on s.oid = c.relnamespace
        where s.nspname in {OURS} and not t.tgisinternal and t.tgenabled <> 'O'""",
    "portal tables without all feed and audit triggers": """
        select p.name || '.' || k.kind || '_' || v.verb
        from unnest(array['customers', 'jobs', 'invoices', 'messages', 'loyalty_transactions'])
            p(name),
            unnest(array['feed', 'audit']) k(kind),
            unnest(array['insert', 'update', 'delete']) v(verb)
        where not exists (
            select from pg_trigger t where t.tgrelid = ('public.' || p.name)::regclass
            and t.tgname = k.kind || '_' || v.verb)""",
}

PUBLICATION = """
    select array_agg(tablename::text order by tablename::text) from pg_publication_tables
    where pubname = 'supabase_realtime' and schemaname = 'public'"""

SECURITY = """
    select 'rls ' || c.oid::regclass || ' ' || c.relrowsecurity || ' '
        || c.relforcerowsecurity as fact
    from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    union all
    select 'grant ' || c.oid::regclass || ' ' || g.grantee::regrole || ' ' || g.privilege_type
        || ' ' || g.is_grantable
    from pg_class c, aclexplode(c.relacl) g
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    union all
    select 'column ' || a.attrelid::regclass || '.' || a.attname || ' ' || g.grantee::regrole
        || ' ' || g.privilege_type
    from pg_attribute a join pg_class c on c.oid = a.attrelid, aclexplode(a.attacl) g
    where c.relnamespace = 'public'::regnamespace
    union all
    select 'policy ' || schemaname || '.' || tablename || ' ' || policyname || ' ' || permissive
        || ' '
        || roles::text || ' ' || cmd || ' using ' || coalesce(qual, '') || ' check '
        || coalesce(with_check, '')
    from pg_policies where schemaname in ('public', 'realtime')
    order by 1"""
