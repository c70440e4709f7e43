"""Reads PostgreSQL's catalogues into a ``SchemaCache``."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from local_stack.rest.catalogue_sql import (
    COLUMNS,
    FINGERPRINT,
    FOREIGN_KEYS,
    FUNCTIONS,
    ROLE_SETTINGS,
    TABLES,
    TIMEZONES,
    TYPES,
    UNIQUE_KEYS,
)
from local_stack.rest.driver import Connection
from local_stack.rest.relationships import ForeignKey, derive_relationships
from local_stack.rest.schema_cache import (
    Column,
    Function,
    Parameter,
    SchemaCache,
    Table,
    TypeName,
    quote_identifier,
)

Row = Mapping[str, Any]
_SQL_NAMES = {
    "int": "int4",
    "integer": "int4",
    "smallint": "int2",
    "bigint": "int8",
    "real": "float4",
    "float": "float8",
    "double precision": "float8",
    "decimal": "numeric",
    "dec": "numeric",
    "boolean": "bool",
    "character": "bpchar",
    "char": "bpchar",
    "character varying": "varchar",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "time with time zone": "timetz",
    "time without time zone": "time",
    "bit varying": "varbit",
}


async def read_fingerprint(connection: Connection, schemas: Sequence[str]) -> str:
    """Return a text that changes whenever the exposed schemas change."""
    return str(await connection.fetchval(FINGERPRINT, list(schemas)))


async def read_timezones(connection: Connection) -> frozenset[str]:
    """Return the time zones PostgreSQL knows; slow, and the same while the server runs."""
    return frozenset(row[0] for row in await connection.fetch(TIMEZONES))


async def read_schema_cache(connection: Connection, schemas: Sequence[str]) -> SchemaCache:
    """Read all of the exposed schemas in one snapshot.

    Args:
        connection: As ``authenticator``.
        schemas: Exposed schemas.
    """

    async def fetch(query: str, argument: list[str] | None = None) -> list[Row]:
        arguments = () if argument is None else (argument,)
        return [dict(row) for row in await connection.fetch(query, *arguments)]

    names = list(schemas)
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        fingerprint = await read_fingerprint(connection, schemas)
        tables = _tables(await fetch(TABLES, names), await fetch(COLUMNS, names))
        foreign_keys = [_foreign_key(row) for row in await fetch(FOREIGN_KEYS, names)]
        uniques = _uniques(await fetch(UNIQUE_KEYS, names))
        functions = _functions(await fetch(FUNCTIONS, names), tables)
        types = _types(await fetch(TYPES, names))
        role_settings = _role_settings(await fetch(ROLE_SETTINGS))
        timezone = str(await connection.fetchval("select current_setting('timezone')"))
    return SchemaCache(
        tables=tables,
        relationships=derive_relationships(foreign_keys, uniques, tables),
        functions=functions,
        types=types,
        timezones=frozenset(),
        role_settings=role_settings,
        fingerprint=fingerprint,
        default_timezone=timezone,
    )


def _type_name(row: Mapping[str, Any], prefix: str = "type") -> TypeName:
    name: str = row[f"{prefix}_name"]
    schema = quote_identifier(row[f"{prefix}_schema"])
    array = row[f"{prefix}_array"]
    array_sql = f"{schema}.{quote_identifier(array)}" if array else '"pg_catalog"."_text"'
    return TypeName(name, f"{schema}.{quote_identifier(name)}", array_sql)


def _tables(
    table_rows: Iterable[Mapping[str, Any]], column_rows: Iterable[Mapping[str, Any]]
) -> dict[tuple[str, str], Table]:
    columns: dict[int, dict[str, Column]] = defaultdict(dict)
    for row in column_rows:
        columns[row["relation"]][row["name"]] = Column(
            name=row["name"],
            sql=quote_identifier(row["name"]),
            type=_type_name(row),
            declared=row["declared"],
            default=row["default_sql"],
        )
    return {
        (row["schema"], row["name"]): Table(
            schema=row["schema"],
            name=row["name"],
            sql=f"{quote_identifier(row['schema'])}.{quote_identifier(row['name'])}",
            columns=columns[row["relation"]],
            primary_key=tuple(row["primary_key"]),
            is_view=row["kind"] in ("v", "m"),
            insertable=bool(row["events"] & 8),
            updatable=bool(row["events"] & 4),
            deletable=bool(row["events"] & 16),
        )
        for row in table_rows
    }


def _foreign_key(row: Mapping[str, Any]) -> ForeignKey:
    return ForeignKey(
        name=row["name"],
        schema=row["schema"],
        table=row["table_name"],
        foreign_schema=row["foreign_schema"],
        foreign_table=row["foreign_table"],
        columns=tuple(zip(row["columns"], row["foreign_columns"], strict=True)),
    )


def _uniques(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], set[frozenset[str]]]:
    found: dict[tuple[str, str], set[frozenset[str]]] = defaultdict(set)
    for row in rows:
        found[row["schema"], row["table_name"]].add(frozenset(row["columns"]))
    return found


def _functions(
    rows: Iterable[Mapping[str, Any]], tables: Mapping[tuple[str, str], Table]
) -> dict[tuple[str, str], tuple[Function, ...]]:
    found: dict[tuple[str, str], list[Function]] = defaultdict(list)
    for row in rows:
        parameters = _parameters(row)
        if parameters is None:
            continue
        table = tables.get((row["result_schema"], row["result_table"]))
        columns = dict(table.columns) if table else {}
        if row["has_out"]:
            columns = _out_columns(row)
        found[row["schema"], row["name"]].append(
            Function(
                schema=row["schema"],
                name=row["name"],
                sql=f"{quote_identifier(row['schema'])}.{quote_identifier(row['name'])}",
                parameters=parameters,
                volatility=row["volatility"],
                returns_set=row["returns_set"],
                returns_row=row["returns_row"],
                returns_void=row["returns_void"],
                table=table.name if table else None,
                columns=columns,
            )
        )
    return {key: tuple(functions) for key, functions in found.items()}


def _parameters(row: Mapping[str, Any]) -> tuple[Parameter, ...] | None:
    """List the input arguments; ``None`` for functions that HTTP cannot call."""
    arguments = [
        Parameter(
            name=name or "",
            sql=quote_identifier(name or ""),
            type=TypeName(
                type_name,
                f"{quote_identifier(schema)}.{quote_identifier(type_name)}",
                f"{quote_identifier(schema)}.{quote_identifier(array or '_text')}",
            ),
            declared=declared,
            required=position < row["required_count"],
            variadic=mode == "v",
        )
        for position, (name, mode, type_name, schema, array, declared) in enumerate(
            zip(
                row["argument_names"],
                row["argument_modes"],
                row["argument_types"],
                row["argument_schemas"],
                row["argument_arrays"],
                row["argument_declared"],
                strict=True,
            )
        )
    ]
    if len(arguments) > 1 and any(not argument.name for argument in arguments):
        return None
    return tuple(arguments)


def _out_columns(row: Mapping[str, Any]) -> dict[str, Column]:
    return {
        name: Column(
            name=name,
            sql=quote_identifier(name),
            type=TypeName(
                type_name,
                f"{quote_identifier(schema)}.{quote_identifier(type_name)}",
                f"{quote_identifier(schema)}.{quote_identifier(array or '_text')}",
            ),
            declared=declared,
        )
        for name, type_name, schema, array, declared in zip(
            row["out_names"],
            row["out_types"],
            row["out_schemas"],
            row["out_arrays"],
            row["out_declared"],
            strict=True,
        )
        if name
    }


def _types(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        sql = f"{quote_identifier(row['schema'])}.{quote_identifier(row['name'])}"
        found.setdefault(row["name"], sql)
    for alias, name in _SQL_NAMES.items():
        if name in found:
            found[alias] = found[name]
    return found


def _role_settings(rows: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for row in rows:
        name, _, value = row["setting"].partition("=")
        found[row["role"]][name] = value
    return dict(found)
