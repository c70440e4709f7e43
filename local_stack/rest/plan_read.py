"""Plans the tree of selects: columns, embedded relations, filters, order, windows. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from local_stack.rest.errors import RequestError, SchemaError
from local_stack.rest.plan_embed import find_relationship
from local_stack.rest.plan_types import (
    Embed,
    NullEmbed,
    PlannedColumn,
    PlannedField,
    PlannedFilter,
    PlannedLogic,
    PlannedNode,
    PlannedOrder,
    ReadNode,
)
from local_stack.rest.schema_cache import (
    JSON,
    JSONB,
    TEXT,
    Column,
    SchemaCache,
    TypeName,
    quote_identifier,
)
from local_stack.rest.syntax import (
    Condition,
    EmbedPath,
    Field,
    Filter,
    JsonStep,
    LogicNode,
    OrderTerm,
    SelectEmbed,
    SelectField,
    SelectItem,
    Window,
)

_PATTERNS = frozenset({"like", "ilike", "match", "imatch"})
_TEXTUAL = frozenset({"fts", "plfts", "phfts", "wfts"})


class ReadPlanner:
    """Builds one tree; used once per request.

    Args:
        cache: Where names are looked up.
        schema: Exposed schema of the request.
        max_rows: Most rows of every node, ``None`` for no limit.
    """

    def __init__(self, cache: SchemaCache, schema: str, max_rows: int | None) -> None:
        self._cache = cache
        self._schema = schema
        self._max_rows = max_rows
        self._embed_count = 0

    def fill(self, root: ReadNode, items: Iterable[SelectItem]) -> None:
        """Add the select list and the embedded relations.

        Raises:
            SchemaError: A name is not in the schema cache.
            RequestError: PGRST119 for a to-many spread, PGRST127 for what is not built.
        """
        self._limit(root)
        for item in items:
            if isinstance(item, SelectField):
                root.select.append(self._column(root, item))
            else:
                root.embeds.append(self._embed(root, item))

    def filter(self, root: ReadNode, path: EmbedPath, node: LogicNode) -> None:
        """Add a condition to the node at ``path``."""
        target = find_node(root, path)
        target.where.append(plan_condition(target, node))

    def sort(self, root: ReadNode, path: EmbedPath, terms: Iterable[OrderTerm]) -> None:
        """Set the order of the node at ``path``."""
        target = find_node(root, path)
        target.order = [_order(target, term) for term in terms]

    def window(self, root: ReadNode, windows: Mapping[EmbedPath, Window]) -> None:
        """Set limits and offsets."""
        for path, window in windows.items():
            target = find_node(root, path)
            target.window = window
            self._limit(target)

    def _limit(self, node: ReadNode) -> None:
        if self._max_rows is not None:
            asked = node.window.limit
            limit = self._max_rows if asked is None else min(asked, self._max_rows)
            node.window = Window(node.window.offset, limit)

    def _column(self, node: ReadNode, item: SelectField) -> PlannedColumn:
        if item.field.name == "*" and not item.field.path:
            return PlannedColumn(None)
        planned = plan_field(node, item.field)
        cast_sql = None
        if item.cast is not None:
            cast_sql = self._cache.types.get(item.cast) or self._cache.types.get(item.cast.lower())
            if cast_sql is None:
                raise SchemaError("42704", f'type "{item.cast}" does not exist', status=400)
        alias = item.alias or _json_alias(item.field)
        if alias is None and cast_sql is not None:
            alias = item.field.name
        return PlannedColumn(planned, alias, cast_sql)

    def _embed(self, parent: ReadNode, item: SelectEmbed) -> Embed:
        origin = parent.relationships_of
        if origin is None:
            origin = (self._schema, parent.label)
        found = find_relationship(self._cache, self._schema, origin[1], item.name, item.hint)
        if item.spread and not found.is_to_one:
            raise _no_spread(origin[1], item.name)
        table = self._cache.tables[self._schema, found.foreign]
        self._embed_count += 1
        number = self._embed_count
        node = ReadNode(
            label=f"{table.name}_{number}",
            relation=table.sql,
            alias=f'"pgrst_t{number}"',
            columns=table.columns,
            relationships_of=(self._schema, table.name),
            joins=tuple(
                (quote_identifier(far), quote_identifier(own)) for own, far in found.columns
            ),
            parent_ref=parent.ref,
        )
        self.fill(node, item.items)
        return Embed(
            name=item.name,
            alias=item.alias,
            sql=f'"pgrst_e{number}"',
            node=node,
            to_one=found.is_to_one,
            inner=item.inner,
            spread=item.spread,
            near_columns=tuple(own for own, _ in found.columns),
        )


def find_node(root: ReadNode, path: EmbedPath) -> ReadNode:
    """Follow the names of embedded relations.

    Raises:
        RequestError: PGRST108 when one of them is not in ``select``.
    """
    node = root
    for name in path:
        embed = next((each for each in node.embeds if name in (each.name, each.alias)), None)
        if embed is None:
            raise RequestError(
                "PGRST108",
                f"'{name}' is not an embedded resource in this request",
                hint=f"Verify that '{name}' is included in the 'select' query parameter.",
            )
        node = embed.node
    return node


def plan_field(node: ReadNode, field: Field) -> PlannedField:
    """Find the column.

    Raises:
        SchemaError: 42703, as PostgreSQL says it.
        RequestError: PGRST123 for ``count``, which PostgreSQL takes for a function of the row.
    """
    column = node.columns.get(field.name)
    if column is None and field.name == "count" and not field.path:
        raise RequestError("PGRST123", hint="Ask for a count with the header Prefer: count=exact.")
    if column is None:
        raise SchemaError("42703", f"column {node.label}.{field.name} does not exist", status=400)
    return PlannedField(column, field.path)


def plan_condition(node: ReadNode, condition: LogicNode) -> PlannedNode:
    """Resolve the names of a filter or of a tree of filters.

    Raises:
        SchemaError: 42703 for an unknown column.
        RequestError: PGRST120 for another operator than ``is.null`` on an embedded relation.
    """
    if isinstance(condition, Filter):
        return _filter(node, condition)
    return PlannedLogic(
        condition.conjunction,
        tuple(plan_condition(node, each) for each in condition.nodes),
        condition.negated,
    )


def _filter(node: ReadNode, each: Filter) -> PlannedNode:
    embed = _embed_named(node, each.field) if node.embeds else None
    if embed is not None:
        condition = each.condition
        if condition.operator == "is" and condition.values[0] in ("null", "not_null"):
            return NullEmbed(embed, (condition.values[0] == "null") != condition.negated)
        if each.field.name not in node.columns:
            raise RequestError(
                "PGRST120",
                f"Bad operator on the '{each.field.name}' embedded resource",
                details="Only is null or not is null filters are allowed on embedded resources",
            )
    field = plan_field(node, each.field)
    return PlannedFilter(field, each.condition, _operand(field, each.condition))


def _embed_named(node: ReadNode, field: Field) -> Embed | None:
    if field.path:
        return None
    return next((each for each in node.embeds if each.output == field.name), None)


def _operand(field: PlannedField, condition: Condition) -> TypeName:
    """Choose the type that the text of a value is cast to."""
    declared = _result_type(field)
    if condition.operator in _TEXTUAL:
        return TEXT
    if condition.operator in _PATTERNS and declared.name != "citext":
        return TEXT
    return declared


def _result_type(field: PlannedField) -> TypeName:
    if not field.path:
        return field.column.type
    if field.path[-1].as_text:
        return TEXT
    return JSON if field.column.type.name == "json" else JSONB


def _json_alias(field: Field) -> str | None:
    if not field.path:
        return None
    keys = [step.operand for step in field.path if not step.is_index]
    last: JsonStep = field.path[-1]
    if not last.is_index:
        return last.operand
    return keys[-1] if keys else field.name


def _no_spread(origin: str, name: str) -> RequestError:
    return RequestError(
        "PGRST119",
        f"A spread operation on '{name}' is not possible",
        details=f"'{origin}' and '{name}' do not form a many-to-one or one-to-one relationship",
        hint="PostgREST 13 and later spread it into arrays; the local stack does not.",
    )


def _order(node: ReadNode, term: OrderTerm) -> PlannedOrder:
    if term.relation is None:
        return PlannedOrder(plan_field(node, term.field), None, term.direction, term.nulls)
    embed = next((each for each in node.embeds if each.output == term.relation), None)
    if embed is None:
        raise RequestError(
            "PGRST108",
            f"'{term.relation}' is not an embedded resource in this request",
            hint=f"Verify that '{term.relation}' is included in the 'select' query parameter.",
        )
    if not embed.to_one:
        raise RequestError(
            "PGRST118",
            f"A related order on '{term.relation}' is not possible",
            details=f"'{node.label}' and '{term.relation}' do not form a many-to-one or "
            "one-to-one relationship",
        )
    field = _shown_field(embed.node, term.field) or plan_field(embed.node, term.field)
    return PlannedOrder(field, embed, term.direction, term.nulls)


def _shown_field(node: ReadNode, field: Field) -> PlannedField | None:
    """Find what a relation puts out under an alias: rows are ordered by its output."""
    for shown in _shown(node):
        if shown.field is not None and shown.alias == field.name:
            kind = TEXT if shown.cast_sql is not None else _result_type(shown.field)
            name = quote_identifier(field.name)
            return PlannedField(Column(field.name, name, kind, kind.name), field.path)
    return None


def _shown(node: ReadNode) -> Iterator[PlannedColumn]:
    yield from node.select
    for embed in node.embeds:
        if embed.spread:
            yield from _shown(embed.node)
