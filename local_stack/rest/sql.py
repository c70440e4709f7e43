"""From a plan to SQL text and bind values. Pure.

Identifiers come quoted from the schema cache; output aliases are the only names of the request
that appear, quoted. Every value is bound as text and cast. PostgreSQL builds the JSON body.
"""

from dataclasses import dataclass

from local_stack.rest.media import Representation
from local_stack.rest.plan_types import SOURCE, CallPlan, Plan, PlannedColumn, ReadPlan, WritePlan
from local_stack.rest.sql_read import render_count, render_select
from local_stack.rest.sql_values import Values
from local_stack.rest.sql_write import INSERTED, render_call_source, render_write_source
from local_stack.rest.syntax import Window

_SETTINGS = (
    "nullif(current_setting('response.headers', true), '') as response_headers, "
    "nullif(current_setting('response.status', true), '') as response_status"
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement whose single row has the columns of ``ResultRow``."""

    sql: str
    values: tuple[str, ...]


def render_plan(plan: Plan) -> Statement:
    """Render a plan.

    Returns:
        A statement with one row: ``total``, ``rows``, ``body``, ``location``, ``inserted``,
        ``response_headers``, ``response_status``.
    """
    values = Values()
    if isinstance(plan, ReadPlan):
        sql = _read(plan, values)
    elif isinstance(plan, WritePlan):
        sql = _write(plan, values)
    else:
        sql = _call(plan, values)
    return Statement(sql, tuple(values.items))


def _read(plan: ReadPlan, values: Values) -> str:
    inner = render_select(plan.root, values)
    total = _total(plan, values)
    body = "''" if plan.headers_only else _array(plan.representation)
    return (
        f"select {total} as total, count(*) as rows, {body} as body, null::text[] as location, "
        f"null::int4 as inserted, {_SETTINGS} from ({inner}) pgrst_t"
    )


def _total(plan: ReadPlan, values: Values) -> str:
    if not plan.count:
        return "null::int8"
    return f"(select count(*) from ({render_count(plan.root, values)}) pgrst_c)"


def _array(representation: Representation) -> str:
    if representation.single:
        return f"coalesce({_stripped('json_agg(pgrst_t)->0', representation)}, 'null')::text"
    return f"coalesce({_stripped('json_agg(pgrst_t)', representation)}, '[]')::text"


def _stripped(sql: str, representation: Representation) -> str:
    return f"json_strip_nulls({sql})" if representation.strip_nulls else f"({sql})"


def _write(plan: WritePlan, values: Values) -> str:
    source = render_write_source(plan, values)
    if plan.represents:
        inner = render_select(plan.root, values)
        body = _array(plan.representation)
    else:
        inner = f"select * from {SOURCE}"
        body = "''"
    merge = plan.conflict is not None and plan.conflict.merge
    return (
        f"with {SOURCE} as ({source}) "
        f"select null::int8 as total, count(pgrst_t) as rows, {body} as body, "
        f"{_location(plan)} as location, {INSERTED if merge else 'null::int4'} as inserted, "
        f"{_SETTINGS} from ({inner}) pgrst_t"
    )


def _location(plan: WritePlan) -> str:
    if plan.kind != "insert" or not plan.location_keys:
        return "null::text[]"
    keys = ", ".join(
        f"(E'{name.replace(chr(92), chr(92) * 2).replace(chr(39), chr(39) * 2)}', {position})"
        for position, name in enumerate(plan.location_keys)
    )
    return (
        "case when count(pgrst_t) = 1 then (select array_agg(k.name || '=' || "
        "coalesce('eq.' || (d.r->>k.name), 'is.null') order by k.position) "
        f"from (select to_jsonb(s) as r from {SOURCE} s limit 1) d, "
        f"(values {keys}) k (name, position)) end"
    )


def _call(plan: CallPlan, values: Values) -> str:
    source = render_call_source(plan, values)
    if _is_plain_scalar(plan):
        return _scalar_call(plan, source)
    function = plan.function
    inner = render_select(plan.root, values)
    total = "null::int8"
    if plan.count:
        total = f"(select count(*) from ({render_count(plan.root, values)}) pgrst_c)"
    rows = "count(pgrst_t)" if function.returns_set else "1::int8"
    return (
        f"with {SOURCE} as ({source}) select {total} as total, {rows} as rows, "
        f"{_call_body(plan)} as body, null::text[] as location, null::int4 as inserted, "
        f"{_SETTINGS} from ({inner}) pgrst_t"
    )


def _is_plain_scalar(plan: CallPlan) -> bool:
    """Tell whether all of one value is asked for, neither counted nor cut out of."""
    function, root = plan.function, plan.root
    is_whole = root.select == [PlannedColumn(None)] and root.window == Window()
    shaped = not is_whole or root.where or root.order or root.embeds
    many = function.returns_set or function.returns_row
    return not (many or function.returns_void or plan.headers_only or plan.count or shaped)


def _scalar_call(plan: CallPlan, source: str) -> str:
    """Render a call whose value is the body; an aggregate over one row would cost a tenth of it.

    The body comes before the settings, which the function may have made.
    """
    value = _stripped("to_json(pgrst_t.pgrst_scalar)", plan.representation)
    return (
        f"select null::int8 as total, 1::int8 as rows, coalesce({value}, 'null')::text as body, "
        f"null::text[] as location, null::int4 as inserted, {_SETTINGS} from ({source}) pgrst_t"
    )


def _call_body(plan: CallPlan) -> str:
    function = plan.function
    if plan.headers_only or function.returns_void:
        # The call must still be evaluated: an unused output column would be dropped.
        return "left(string_agg(pgrst_t::text, ''), 0)"
    what = "json_agg(pgrst_t)" if function.returns_row else "json_agg(pgrst_t.pgrst_scalar)"
    if not function.returns_set or plan.representation.single:
        return f"coalesce({_stripped(f'{what}->0', plan.representation)}, 'null')::text"
    return f"coalesce({_stripped(what, plan.representation)}, '[]')::text"
