"""Plans: requests whose names have all been found in the schema cache."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from local_stack.rest.media import Representation
from local_stack.rest.payload import Payload
from local_stack.rest.schema_cache import Column, Function, Parameter, Table, TypeName
from local_stack.rest.syntax import (
    Condition,
    Conjunction,
    Direction,
    JsonStep,
    Nulls,
    Window,
)

SOURCE = '"pgrst_source"'


@dataclass(frozen=True, slots=True)
class PlannedField:
    """A column that exists, with its JSON path."""

    column: Column
    path: tuple[JsonStep, ...] = ()

    @property
    def to_json(self) -> bool:
        """Whether the column must become jsonb before a path can be taken."""
        return bool(self.path) and self.column.type.name not in ("json", "jsonb")


@dataclass(frozen=True, slots=True)
class PlannedColumn:
    """One output column; ``column`` is ``None`` for ``*``."""

    field: PlannedField | None
    alias: str | None = None
    cast_sql: str | None = None


@dataclass(frozen=True, slots=True)
class PlannedFilter:
    """A condition on a column; ``operand`` is the type its text is cast to."""

    field: PlannedField
    condition: Condition
    operand: TypeName


@dataclass(frozen=True, slots=True)
class NullEmbed:
    """Whether an embedded relation is empty."""

    embed: "Embed"
    is_null: bool


@dataclass(frozen=True, slots=True)
class PlannedLogic:
    """Conditions joined by ``and`` or ``or``."""

    conjunction: Conjunction
    nodes: tuple["PlannedNode", ...]
    negated: bool


PlannedNode = PlannedFilter | NullEmbed | PlannedLogic


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One order term; ``embed`` where it orders by a column of an embedded relation."""

    field: PlannedField
    embed: "Embed | None"
    direction: Direction | None
    nulls: Nulls | None


@dataclass(slots=True)
class ReadNode:
    """One ``select`` of the tree. Filled in by the planner, read-only afterwards.

    Attributes:
        label: Name in messages.
        relation: SQL of what is selected from.
        alias: Quoted alias, if it has one.
        columns: What may be named here.
        relationships_of: Table whose foreign keys are followed; ``None`` where there is none.
        joins: Pairs (own column, parent column), quoted.
    """

    label: str
    relation: str
    alias: str | None
    columns: Mapping[str, Column]
    relationships_of: tuple[str, str] | None
    select: list[PlannedColumn] = field(default_factory=list)
    where: list[PlannedNode] = field(default_factory=list)
    order: list[PlannedOrder] = field(default_factory=list)
    window: Window = field(default_factory=Window)
    joins: tuple[tuple[str, str], ...] = ()
    parent_ref: str = ""
    embeds: list["Embed"] = field(default_factory=list)

    @property
    def ref(self) -> str:
        """SQL that qualifies the columns of this node."""
        return self.alias or self.relation

    @property
    def is_empty(self) -> bool:
        """Whether nothing of this node is shown."""
        return not self.select and all(embed.node.is_empty for embed in self.embeds)


@dataclass(slots=True, eq=False)
class Embed:
    """An embedded relation.

    Attributes:
        name: Relation name in the request.
        alias: Output name in the request, if given.
        sql: Quoted internal alias of the join.
        spread: What it puts out stands in the row itself; only where it is to-one.
    """

    name: str
    alias: str | None
    sql: str
    node: ReadNode
    to_one: bool
    inner: bool
    spread: bool
    near_columns: tuple[str, ...]

    @property
    def output(self) -> str:
        """Member name in the result."""
        return self.alias or self.name


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """GET or HEAD on a table."""

    root: ReadNode
    representation: Representation
    count: bool
    headers_only: bool


@dataclass(frozen=True, slots=True)
class Conflict:
    """``on conflict`` of an insert."""

    columns: tuple[str, ...]
    merge: bool


@dataclass(frozen=True, slots=True)
class WritePlan:
    """POST, PATCH or DELETE on a table.

    Attributes:
        columns: Columns taken from the payload, in name order.
        where: Conditions of an update or a delete.
        returning: Quoted columns, ``("*",)`` for all, empty for none.
        location_keys: Primary key columns of the ``Location`` header.
    """

    kind: str
    table: Table
    columns: tuple[Column, ...]
    payload: Payload | None
    where: tuple[PlannedNode, ...]
    conflict: Conflict | None
    with_defaults: bool
    returning: tuple[str, ...]
    location_keys: tuple[str, ...]
    root: ReadNode
    representation: Representation
    represents: bool


@dataclass(frozen=True, slots=True)
class CallPlan:
    """A function call.

    Attributes:
        parameters: Those that get a value.
        arguments: Values by name for GET; a tuple for a variadic one.
        payload: JSON body for POST.
        whole_body: The body is the single unnamed argument.
    """

    function: Function
    parameters: tuple[Parameter, ...]
    arguments: Mapping[str, str | tuple[str, ...]]
    payload: Payload | None
    whole_body: bool
    root: ReadNode
    representation: Representation
    count: bool
    headers_only: bool
    read_only: bool


Plan = ReadPlan | WritePlan | CallPlan
