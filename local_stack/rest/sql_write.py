"""SQL that changes rows or calls functions: what stands inside the common table expression."""

from local_stack.rest.plan_types import CallPlan, WritePlan
from local_stack.rest.schema_cache import Column, Parameter
from local_stack.rest.sql_read import render_condition
from local_stack.rest.sql_values import Values, array_literal

INSERTED = "nullif(current_setting('pgrst.inserted', true), '')::int4"


def render_write_source(plan: WritePlan, values: Values) -> str:
    """Render the insert, update or delete with its ``returning``."""
    if plan.kind == "insert":
        return _insert(plan, values)
    if plan.kind == "update":
        return _update(plan, values)
    return f"delete from {plan.table.sql}{_where(plan, values)} {_returning(plan)}"


def render_call_source(plan: CallPlan, values: Values) -> str:
    """Render the function call as a row source named ``pgrst_call``."""
    function = plan.function
    payload, arguments = _arguments(plan, values)
    call = f"{function.sql}({arguments})"
    columns = "pgrst_call.*"
    if not function.returns_row:
        columns = "pgrst_call.pgrst_scalar"
        call = f"(select {call} as pgrst_scalar)"
    if payload:
        return f"select {columns} from {payload}, lateral {call} pgrst_call"
    return f"select {columns} from {call} pgrst_call"


def _arguments(plan: CallPlan, values: Values) -> tuple[str, str]:
    """Return what must stand before the call in ``from``, and the argument list."""
    if not plan.parameters:
        return "", ""
    if plan.payload is not None and plan.whole_body:
        only = plan.parameters[0]
        return "", f"{values.bind(plan.payload.text)}::{only.type.sql}"
    if plan.payload is not None:
        listed = ", ".join(f"{each.sql} {each.declared}" for each in plan.parameters)
        body = f"json_to_record({values.bind(plan.payload.text)}::json) as pgrst_body({listed})"
        arguments = ", ".join(
            f"{_variadic(each)}{each.sql} => pgrst_body.{each.sql}" for each in plan.parameters
        )
        return body, arguments
    return "", ", ".join(
        f"{_variadic(each)}{each.sql} => {_argument(plan, each, values)}"
        for each in plan.parameters
    )


def _variadic(parameter: Parameter) -> str:
    return "variadic " if parameter.variadic else ""


def _argument(plan: CallPlan, parameter: Parameter, values: Values) -> str:
    value = plan.arguments[parameter.name]
    text = value if isinstance(value, str) else array_literal(value)
    return f"{values.bind(text)}::{parameter.type.sql}"


def _insert(plan: WritePlan, values: Values) -> str:
    listed = ", ".join(column.sql for column in plan.columns)
    into = f"insert into {plan.table.sql}{f' ({listed})' if listed else ''} "
    named = ", ".join(f"pgrst_body.{column.sql}" for column in plan.columns)
    sql = f"{into}select {named} from {_body(plan, values)}"
    conflict = plan.conflict
    if conflict is None:
        return f"{sql} {_returning(plan)}"
    keys = ", ".join(plan.table.columns[name].sql for name in conflict.columns)
    if conflict.merge:
        sql += f" where {_counted('+')} <> '0'"
    sql += f" on conflict ({keys}) do "
    if not conflict.merge or not plan.columns:
        return f"{sql}nothing {_returning(plan)}"
    updates = ", ".join(f"{column.sql} = excluded.{column.sql}" for column in plan.columns)
    return f"{sql}update set {updates} where {_counted('-')} <> '-1' {_returning(plan)}"


def _counted(sign: str) -> str:
    """Count rows tried and take back those that met a conflict; what is left was inserted."""
    return f"set_config('pgrst.inserted', (coalesce({INSERTED}, 0) {sign} 1)::text, true)"


def _update(plan: WritePlan, values: Values) -> str:
    if not plan.columns:
        names = ", ".join(plan.returning) if plan.returning else "null"
        return f"select {names} from {plan.table.sql} where false"
    changes = ", ".join(f"{column.sql} = pgrst_body.{column.sql}" for column in plan.columns)
    return (
        f"update {plan.table.sql} set {changes} from {_body(plan, values)}"
        f"{_where(plan, values)} {_returning(plan)}"
    )


def _where(plan: WritePlan, values: Values) -> str:
    if not plan.where:
        return ""
    rendered = [render_condition(plan.table.sql, each, values) for each in plan.where]
    return f" where {' and '.join(rendered)}"


def _returning(plan: WritePlan) -> str:
    if not plan.returning:
        return "returning 1"
    return "returning " + ", ".join(f"{plan.table.sql}.{name}" for name in plan.returning)


def _body(plan: WritePlan, values: Values) -> str:
    """Render the payload as rows of ``pgrst_body``."""
    if plan.payload is None:
        return "(select) pgrst_body"
    single = plan.payload.is_object
    if single and not plan.columns:
        return "(values (1)) pgrst_body"
    bound = values.bind(plan.payload.text)
    if not plan.columns:
        return f"json_array_elements({bound}::json) pgrst_body"
    typed = ", ".join(f"{column.sql} {column.declared}" for column in plan.columns)
    if plan.with_defaults:
        defaults = _defaults(plan.columns)
        if single:
            return f"jsonb_to_record({defaults} || {bound}::jsonb) as pgrst_body({typed})"
        elements = (
            f"select jsonb_agg({defaults} || each) from jsonb_array_elements({bound}::jsonb) each"
        )
        return f"jsonb_to_recordset(({elements})) as pgrst_body({typed})"
    function = "json_to_record" if single else "json_to_recordset"
    return f"{function}({bound}::json) as pgrst_body({typed})"


def _defaults(columns: tuple[Column, ...]) -> str:
    """Build an object of the defaults; names and expressions come from the catalogue."""
    pairs = [
        f"{_literal(column.name)}, {column.default}"
        for column in columns
        if column.default is not None
    ]
    return f"jsonb_build_object({', '.join(pairs)})"


def _literal(name: str) -> str:
    """Quote a catalogue name as a string constant."""
    escaped = name.replace("'", "''").replace("\\", "\\\\")
    return f"E'{escaped}'"
