"""Queries on PostgreSQL's catalogues. ``$1`` is the list of exposed schemas."""

FINGERPRINT = """
select concat_ws(':',
    (select concat(count(*), '/', sum(hashtext(concat(c.oid, c.xmin))::bigint))
     from pg_catalog.pg_class c
     where c.relnamespace = any (select oid from pg_catalog.pg_namespace where nspname = any ($1))
       and c.relkind in ('r', 'v', 'm', 'f', 'p')),
    (select concat(count(*), '/', sum(hashtext(concat(a.attrelid, a.attnum, a.xmin))::bigint))
     from pg_catalog.pg_attribute a
     join pg_catalog.pg_class c on c.oid = a.attrelid
     where c.relnamespace = any (select oid from pg_catalog.pg_namespace where nspname = any ($1))
       and c.relkind in ('r', 'v', 'm', 'f', 'p') and a.attnum > 0),
    (select concat(count(*), '/', sum(hashtext(concat(p.oid, p.xmin))::bigint))
     from pg_catalog.pg_proc p
     where p.pronamespace = any (select oid from pg_catalog.pg_namespace where nspname = any ($1))),
    (select concat(count(*), '/', sum(hashtext(concat(k.oid, k.xmin))::bigint))
     from pg_catalog.pg_constraint k
     where k.connamespace = any (select oid from pg_catalog.pg_namespace where nspname = any ($1))))
"""

TABLES = """
select c.oid as relation, n.nspname as schema, c.relname as name, c.relkind::text as kind,
    pg_catalog.pg_relation_is_updatable(c.oid, true) as events,
    coalesce((
        select array_agg(a.attname::text order by k.position)
        from pg_catalog.pg_constraint p
        cross join lateral unnest(p.conkey) with ordinality as k (attnum, position)
        join pg_catalog.pg_attribute a on a.attrelid = p.conrelid and a.attnum = k.attnum
        where p.conrelid = c.oid and p.contype = 'p'), '{}') as primary_key
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = any ($1) and c.relkind in ('r', 'v', 'm', 'f', 'p') and not c.relispartition
"""

_BASE_TYPE = """
    left join pg_catalog.pg_type bt on bt.oid = (
        with recursive base (oid, typbasetype, typtype) as (
            select t.oid, t.typbasetype, t.typtype from pg_catalog.pg_type t where t.oid = {type}
            union all
            select t.oid, t.typbasetype, t.typtype from pg_catalog.pg_type t
            join base b on b.typtype = 'd' and t.oid = b.typbasetype)
        select oid from base where typtype <> 'd' limit 1)
    left join pg_catalog.pg_namespace bn on bn.oid = bt.typnamespace
    left join pg_catalog.pg_type ba on ba.oid = bt.typarray
"""

COLUMNS = f"""
select a.attrelid as relation, a.attname::text as name,
    pg_catalog.format_type(a.atttypid, a.atttypmod) as declared,
    bt.typname::text as type_name, bn.nspname::text as type_schema, ba.typname::text as type_array,
    case
        when a.attgenerated <> '' then null
        when a.attidentity = 'd' then format('pg_catalog.nextval(%L::pg_catalog.regclass)',
            pg_catalog.pg_get_serial_sequence(
                quote_ident(n.nspname) || '.' || quote_ident(c.relname), a.attname))
        else pg_catalog.pg_get_expr(d.adbin, d.adrelid)
    end as default_sql
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
{_BASE_TYPE.format(type="a.atttypid")}
where n.nspname = any ($1) and c.relkind in ('r', 'v', 'm', 'f', 'p')
  and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum
"""

FOREIGN_KEYS = """
select k.conname::text as name, n.nspname::text as schema, c.relname::text as table_name,
    fn.nspname::text as foreign_schema, fc.relname::text as foreign_table,
    array(select a.attname::text from unnest(k.conkey) with ordinality as u (attnum, position)
        join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.attnum
        order by u.position) as columns,
    array(select a.attname::text from unnest(k.confkey) with ordinality as u (attnum, position)
        join pg_catalog.pg_attribute a on a.attrelid = k.confrelid and a.attnum = u.attnum
        order by u.position) as foreign_columns
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class fc on fc.oid = k.confrelid
join pg_catalog.pg_namespace fn on fn.oid = fc.relnamespace
where k.contype = 'f' and k.conparentid = 0 and n.nspname = any ($1) and fn.nspname = any ($1)
order by k.conname
"""

UNIQUE_KEYS = """
select n.nspname::text as schema, c.relname::text as table_name,
    array(select a.attname::text from unnest(k.conkey) as u (attnum)
        join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = u.attnum
    ) as columns
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where k.contype in ('p', 'u') and n.nspname = any ($1)
"""

_ARGUMENTS = """
    select array_agg(u.name order by u.position) {filter} as names,
        array_agg(u.mode order by u.position) {filter} as modes,
        array_agg(bt.typname::text order by u.position) {filter} as types,
        array_agg(bn.nspname::text order by u.position) {filter} as schemas,
        array_agg(ba.typname::text order by u.position) {filter} as arrays,
        array_agg(pg_catalog.format_type(u.type, null) order by u.position) {filter} as declared
    from unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargmodes::text[],
        p.proargnames) with ordinality as raw (type, raw_mode, name, position)
    cross join lateral (
        select raw.type, coalesce(raw.raw_mode, 'i') as mode, raw.name, raw.position) u
""" + _BASE_TYPE.format(type="u.type")

FUNCTIONS = f"""
select n.nspname::text as schema, p.proname::text as name, p.provolatile::text as volatility,
    p.proretset as returns_set, p.prorettype = 'void'::regtype as returns_void,
    coalesce(p.proargmodes::text[] && '{{t,b,o}}', false) as has_out,
    (rt.typtype = 'c' or p.prorettype = 'record'::regtype
        or coalesce(p.proargmodes::text[] && '{{t,b,o}}', false)) as returns_row,
    rn.nspname::text as result_schema, rc.relname::text as result_table,
    p.pronargs - p.pronargdefaults as required_count,
    coalesce(i.names, '{{}}') as argument_names, coalesce(i.modes, '{{}}') as argument_modes,
    coalesce(i.types, '{{}}') as argument_types, coalesce(i.schemas, '{{}}') as argument_schemas,
    coalesce(i.arrays, '{{}}') as argument_arrays,
    coalesce(i.declared, '{{}}') as argument_declared,
    coalesce(o.names, '{{}}') as out_names, coalesce(o.types, '{{}}') as out_types,
    coalesce(o.schemas, '{{}}') as out_schemas, coalesce(o.arrays, '{{}}') as out_arrays,
    coalesce(o.declared, '{{}}') as out_declared
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_type rt on rt.oid = p.prorettype
left join pg_catalog.pg_class rc on rc.oid = rt.typrelid and rt.typtype = 'c'
left join pg_catalog.pg_namespace rn on rn.oid = rc.relnamespace
cross join lateral ({_ARGUMENTS.format(filter="filter (where u.mode in ('i', 'b', 'v'))")}) i
cross join lateral ({_ARGUMENTS.format(filter="filter (where u.mode in ('o', 'b', 't'))")}) o
where n.nspname = any ($1) and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
  and p.prorettype <> 'event_trigger'::regtype
order by p.proname, p.oid
"""

TYPES = """
select n.nspname::text as schema, t.typname::text as name
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where (n.nspname = 'pg_catalog' or n.nspname = any ($1) or n.nspname = 'extensions')
  and t.typtype in ('b', 'd', 'e', 'r', 'm')
order by n.nspname <> 'pg_catalog', t.typname
"""

TIMEZONES = "select name from pg_catalog.pg_timezone_names"

ROLE_SETTINGS = """
with settings as (
    select r.rolname, r.oid, s.setdatabase, split_part(c.setting, '=', 1) as name, c.setting
    from pg_catalog.pg_db_role_setting s
    join pg_catalog.pg_roles r on r.oid = s.setrole
    cross join lateral unnest(s.setconfig) c (setting)
    where s.setdatabase in (
        0, (select oid from pg_catalog.pg_database where datname = current_database()))
      and pg_catalog.pg_has_role(current_user, r.oid, 'member') and r.rolname <> current_user
)
select s.rolname::text as role, s.setting
from settings s
left join pg_catalog.pg_settings known on lower(known.name) = lower(s.name)
where known.context is null or known.context = 'user'
   or known.context = 'superuser' and pg_catalog.has_parameter_privilege(s.oid, s.name, 'set')
order by s.setdatabase
"""
