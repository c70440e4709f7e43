"""What the exposed schemas hold: tables, columns, keys, relationships, functions. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Cardinality = Literal["many-to-one", "one-to-many", "one-to-one", "many-to-many"]
Volatility = Literal["i", "s", "v"]


def quote_identifier(name: str) -> str:
    """Quote a name for SQL."""
    return '"' + name.replace("\x00", "").replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class TypeName:
    """A type, domains resolved to their base.

    Attributes:
        name: Plain name, such as ``int4``.
        sql: Qualified and quoted name without a length, for casts of bound text.
        array_sql: The same for its array type; ``text[]`` where it has none.
    """

    name: str
    sql: str
    array_sql: str


TEXT = TypeName("text", '"pg_catalog"."text"', '"pg_catalog"."_text"')
JSON = TypeName("json", '"pg_catalog"."json"', '"pg_catalog"."_json"')
JSONB = TypeName("jsonb", '"pg_catalog"."jsonb"', '"pg_catalog"."_jsonb"')


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, of a view or of a function's result.

    Attributes:
        sql: Quoted name.
        type: Base type.
        declared: Type as declared, with length; safe SQL from the catalogue.
        default: Default expression; safe SQL from the catalogue.
    """

    name: str
    sql: str
    type: TypeName
    declared: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table or a view."""

    schema: str
    name: str
    sql: str
    columns: Mapping[str, Column]
    primary_key: tuple[str, ...]
    is_view: bool
    insertable: bool = True
    updatable: bool = True
    deletable: bool = True


@dataclass(frozen=True, slots=True)
class Relationship:
    """A foreign key seen from one side.

    Attributes:
        table: Name of the near table.
        foreign: Name of the far table.
        constraint: Foreign key name (of the first one for many-to-many).
        columns: Pairs (near column, far column).
        junction: Far-side description of a many-to-many, else ``None``.
    """

    table: str
    foreign: str
    constraint: str
    columns: tuple[tuple[str, str], ...]
    cardinality: Cardinality
    junction: str | None = None
    junction_text: str = ""

    @property
    def is_to_one(self) -> bool:
        """Whether the far side is one object."""
        return self.cardinality in ("many-to-one", "one-to-one")

    @property
    def is_self(self) -> bool:
        """Whether both sides are the same table."""
        return self.table == self.foreign


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument of a function; ``name`` is empty where it has none."""

    name: str
    sql: str
    type: TypeName
    declared: str
    required: bool
    variadic: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A callable function.

    Attributes:
        returns_set: ``setof`` or ``table``.
        returns_row: A composite type, ``record`` or OUT arguments.
        returns_void: Nothing to return.
        table: The table whose row type is returned, for embedding.
        columns: Columns of the result; empty for scalars and for plain ``record``.
    """

    schema: str
    name: str
    sql: str
    parameters: tuple[Parameter, ...]
    volatility: Volatility
    returns_set: bool
    returns_row: bool
    returns_void: bool
    table: str | None
    columns: Mapping[str, Column]


@dataclass(frozen=True, slots=True)
class SchemaCache:
    """Everything the planner looks names up in."""

    tables: Mapping[tuple[str, str], Table]
    relationships: Mapping[tuple[str, str], tuple[Relationship, ...]]
    functions: Mapping[tuple[str, str], tuple[Function, ...]]
    types: Mapping[str, str]
    timezones: frozenset[str]
    role_settings: Mapping[str, Mapping[str, str]]
    fingerprint: str = ""
    default_timezone: str = "UTC"

    def similar_table(self, schema: str, name: str) -> str | None:
        """Name the table that was perhaps meant."""
        return _closest(name, [table for owner, table in self.tables if owner == schema])

    def similar_function(self, schema: str, name: str) -> str | None:
        """Name the function that was perhaps meant."""
        return _closest(name, [proc for owner, proc in self.functions if owner == schema])


EMPTY = SchemaCache({}, {}, {}, {}, frozenset(), {})


def _closest(name: str, names: list[str]) -> str | None:
    found = get_close_matches(name[:64], names, n=1, cutoff=0.75)
    return found[0] if found else None
