"""SQL of the select tree: columns, lateral joins, conditions, order, window."""

from local_stack.rest.plan_types import (
    Embed,
    NullEmbed,
    PlannedColumn,
    PlannedField,
    PlannedFilter,
    PlannedNode,
    PlannedOrder,
    ReadNode,
)
from local_stack.rest.schema_cache import quote_identifier
from local_stack.rest.sql_values import Values, array_literal

_OPERATORS = {
    "eq": "=",
    "neq": "<>",
    "gt": ">",
    "gte": ">=",
    "lt": "<",
    "lte": "<=",
    "like": "like",
    "ilike": "ilike",
    "match": "~",
    "imatch": "~*",
    "cs": "@>",
    "cd": "<@",
    "ov": "&&",
    "sl": "<<",
    "sr": ">>",
    "nxr": "&<",
    "nxl": "&>",
    "adj": "-|-",
    "isdistinct": "is distinct from",
}
_FTS = {
    "fts": "to_tsquery",
    "plfts": "plainto_tsquery",
    "phfts": "phraseto_tsquery",
    "wfts": "websearch_to_tsquery",
}
_IS = {
    "null": "null",
    "not_null": "not null",
    "true": "true",
    "false": "false",
    "unknown": "unknown",
}


def render_select(node: ReadNode, values: Values) -> str:
    """Render the whole select of a node, embedded relations included."""
    outputs = [_output(node.ref, column, values) for column in node.select]
    if not outputs and not node.embeds:
        outputs = [f"{node.ref}.*"]
    joins = []
    for embed in node.embeds:
        if not embed.node.is_empty:
            outputs += _embed_outputs(embed)
        joins.append(_join(embed, values))
    source = node.relation if node.alias is None else f"{node.relation} as {node.alias}"
    return (
        f"select {', '.join(outputs)} from {source}{''.join(joins)}"
        f"{_where(node, values)}{_order_by(node, values)}{_window(node, values)}"
    )


def render_count(node: ReadNode, values: Values) -> str:
    """Render a select of one constant per row that the conditions let through."""
    source = node.relation if node.alias is None else f"{node.relation} as {node.alias}"
    conditions = [_join_condition(node, pair) for pair in node.joins]
    conditions += [_count_condition(node, each, values) for each in node.where]
    conditions += [
        f"exists ({render_count(embed.node, values)})" for embed in node.embeds if embed.inner
    ]
    where = f" where {' and '.join(conditions)}" if conditions else ""
    return f"select 1 from {source}{where}"


def render_condition(ref: str, node: PlannedNode, values: Values) -> str:
    """Render a condition; columns are qualified with ``ref``."""
    if isinstance(node, PlannedFilter):
        return _filter(ref, node, values)
    if isinstance(node, NullEmbed):
        operator = "is not distinct from" if node.is_null else "is distinct from"
        return f"{node.embed.sql} {operator} null"
    inside = f" {node.conjunction} ".join(
        render_condition(ref, each, values) for each in node.nodes
    )
    return f"{'not ' if node.negated else ''}({inside})"


def render_field(ref: str, field: PlannedField, values: Values) -> str:
    """Render a column with its JSON path."""
    sql = f"{ref}.{field.column.sql}"
    if not field.path:
        return sql
    if field.to_json:
        sql = f"to_jsonb({sql})"
    for step in field.path:
        arrow = "->>" if step.as_text else "->"
        operand = values.bind(step.operand)
        sql += f"{arrow}{operand}::int4" if step.is_index else f"{arrow}{operand}"
    return sql


def _output(ref: str, column: PlannedColumn, values: Values) -> str:
    if column.field is None:
        return f"{ref}.*"
    sql = render_field(ref, column.field, values)
    if column.cast_sql is not None:
        sql = f"cast({sql} as {column.cast_sql})"
    if column.alias is not None:
        sql += f" as {quote_identifier(column.alias)}"
    return sql


def _embed_outputs(embed: Embed) -> list[str]:
    if embed.spread:
        return [f"{embed.sql}.{name}" for name in _output_names(embed.node)]
    name = quote_identifier(embed.output)
    if embed.to_one:
        return [f"row_to_json({embed.sql}.*)::jsonb as {name}"]
    return [f"coalesce({embed.sql}.{embed.sql}, '[]') as {name}"]


def _output_names(node: ReadNode) -> list[str]:
    """List what a spread node puts out, quoted, in the order of its own select.

    One by one, as PostgREST does it: two with the same name are refused as ambiguous.
    """
    names = [
        "*" if each.field is None else quote_identifier(each.alias or each.field.column.name)
        for each in node.select
    ]
    for embed in node.embeds:
        if not embed.node.is_empty:
            inner = _output_names(embed.node) if embed.spread else [quote_identifier(embed.output)]
            names += inner
    return names


def _join(embed: Embed, values: Values) -> str:
    kind = "inner" if embed.inner else "left"
    inside = render_select(embed.node, values)
    if embed.to_one:
        return f" {kind} join lateral ({inside}) as {embed.sql} on true"
    found = f"{embed.sql} is not null" if embed.inner else "true"
    return (
        f" {kind} join lateral (select json_agg({embed.sql})::jsonb as {embed.sql} "
        f"from ({inside}) as {embed.sql}) as {embed.sql} on {found}"
    )


def _join_condition(node: ReadNode, pair: tuple[str, str]) -> str:
    return f"{node.ref}.{pair[0]} = {node.parent_ref}.{pair[1]}"


def _where(node: ReadNode, values: Values) -> str:
    conditions = [_join_condition(node, pair) for pair in node.joins]
    conditions += [render_condition(node.ref, each, values) for each in node.where]
    return f" where {' and '.join(conditions)}" if conditions else ""


def _count_condition(node: ReadNode, each: PlannedNode, values: Values) -> str:
    """Like ``render_condition``, but without the joins that a null filter on an embed needs."""
    if isinstance(each, NullEmbed):
        negation = "not " if each.is_null else ""
        return f"{negation}exists ({render_count(each.embed.node, values)})"
    if isinstance(each, PlannedFilter):
        return _filter(node.ref, each, values)
    inside = f" {each.conjunction} ".join(
        _count_condition(node, inner, values) for inner in each.nodes
    )
    return f"{'not ' if each.negated else ''}({inside})"


def _filter(ref: str, each: PlannedFilter, values: Values) -> str:
    condition = each.condition
    left = render_field(ref, each.field, values)
    if condition.operator in _FTS:
        sql = _full_text(left, each, values)
    elif condition.operator == "is":
        sql = f"{left} is {_IS[condition.values[0]]}"
    elif condition.operator == "in":
        listed = () if condition.values == ("",) else condition.values
        sql = f"{left} = any ({values.bind(array_literal(listed))}::{each.operand.array_sql})"
    else:
        sql = f"{left} {_OPERATORS[condition.operator]} {_right(each, values)}"
    return f"not {sql}" if condition.negated else sql


def _right(each: PlannedFilter, values: Values) -> str:
    condition = each.condition
    value = condition.values[0]
    if condition.operator in ("like", "ilike"):
        value = value.replace("*", "%")
    if condition.quantifier is not None:
        return f"{condition.quantifier} ({values.bind(value)}::{each.operand.array_sql})"
    placeholder = values.bind(value)
    return placeholder if each.operand.name == "text" else f"{placeholder}::{each.operand.sql}"


def _full_text(left: str, each: PlannedFilter, values: Values) -> str:
    condition = each.condition
    is_vector = not each.field.path and each.field.column.type.name == "tsvector"
    if not is_vector:
        language = _language(each, values)
        left = f"to_tsvector({language}{left})"
    language = _language(each, values)
    return f"{left} @@ {_FTS[condition.operator]}({language}{values.bind(condition.values[0])})"


def _language(each: PlannedFilter, values: Values) -> str:
    if each.condition.language is None:
        return ""
    return f"{values.bind(each.condition.language)}::regconfig, "


def _order_by(node: ReadNode, values: Values) -> str:
    if not node.order:
        return ""
    return f" order by {', '.join(_order_term(node, term, values) for term in node.order)}"


def _order_term(node: ReadNode, term: PlannedOrder, values: Values) -> str:
    ref = node.ref if term.embed is None else term.embed.sql
    sql = render_field(ref, term.field, values)
    if term.direction is not None:
        sql += f" {term.direction}"
    if term.nulls is not None:
        sql += " nulls first" if term.nulls == "nullsfirst" else " nulls last"
    return sql


def _window(node: ReadNode, values: Values) -> str:
    sql = ""
    if node.window.limit is not None:
        sql += f" limit {values.bind(str(node.window.limit))}::int8"
    if node.window.offset:
        sql += f" offset {values.bind(str(node.window.offset))}::int8"
    return sql
