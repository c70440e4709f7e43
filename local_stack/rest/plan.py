"""From ``ApiRequest`` and schema cache to a plan. Pure: the last place that may refuse."""

from local_stack.rest.errors import RequestError, SchemaError
from local_stack.rest.plan_call import find_function
from local_stack.rest.plan_read import ReadPlanner, plan_condition
from local_stack.rest.plan_types import (
    SOURCE,
    CallPlan,
    Conflict,
    Plan,
    PlannedNode,
    ReadNode,
    ReadPlan,
    WritePlan,
)
from local_stack.rest.request import ApiRequest
from local_stack.rest.schema_cache import Column, Function, SchemaCache, Table, quote_identifier


def plan_request(request: ApiRequest, cache: SchemaCache, max_rows: int | None) -> Plan:
    """Plan a request.

    Args:
        request: Any action but ``info``.
        cache: Where names are looked up.
        max_rows: Most rows of a read or a function.

    Raises:
        SchemaError: A name is not in the cache; after a reload it may be.
        RequestError: The request cannot be answered.
    """
    request.preferences.refuse_invalid()
    if request.is_function:
        return _call(request, cache, max_rows)
    table = find_table(request, cache)
    if request.action == "read":
        return _read(request, cache, table, max_rows)
    return _write(request, cache, table)


def find_table(request: ApiRequest, cache: SchemaCache) -> Table:
    """Find the table or view.

    Raises:
        SchemaError: PGRST205.
    """
    table = cache.tables.get((request.schema, request.target))
    if table is None:
        similar = cache.similar_table(request.schema, request.target)
        raise SchemaError(
            "PGRST205",
            f"Could not find the table '{request.schema}.{request.target}' in the schema cache",
            hint=f"Perhaps you meant the table '{request.schema}.{similar}'" if similar else None,
        )
    return table


def _read(request: ApiRequest, cache: SchemaCache, table: Table, max_rows: int | None) -> ReadPlan:
    root = ReadNode(
        label=table.name,
        relation=table.sql,
        alias=None,
        columns=table.columns,
        relationships_of=(table.schema, table.name),
    )
    _fill(request, cache, root, max_rows)
    return ReadPlan(
        root,
        request.representation,
        count=request.preferences.count is not None,
        headers_only=request.method == "HEAD",
    )


def _fill(request: ApiRequest, cache: SchemaCache, root: ReadNode, max_rows: int | None) -> None:
    query = request.query
    planner = ReadPlanner(cache, request.schema, max_rows)
    planner.fill(root, query.select)
    for path, condition in query.filters:
        planner.filter(root, path, condition)
    for path, terms in query.order:
        planner.sort(root, path, terms)
    planner.window(root, query.windows)


def _write(request: ApiRequest, cache: SchemaCache, table: Table) -> WritePlan:
    query = request.query
    root = ReadNode(
        label=table.name,
        relation=SOURCE,
        alias='"pgrst_w"',
        columns=table.columns,
        relationships_of=(table.schema, table.name),
    )
    planner = ReadPlanner(cache, request.schema, None)
    planner.fill(root, query.select)
    target = ReadNode(table.name, table.sql, None, table.columns, (table.schema, table.name))
    where: list[PlannedNode] = []
    for path, condition in query.filters:
        if path:
            planner.filter(root, path, condition)
        elif request.action != "insert":
            where.append(plan_condition(target, condition))
    columns = _payload_columns(request, table)
    if not where and (request.action == "delete" or (request.action == "update" and columns)):
        # As the extension safeupdate, which hosted projects load for role authenticator.
        verb = request.action.upper()
        raise RequestError("21000", f"{verb} requires a WHERE clause", status=400)
    preferences = request.preferences
    returns = preferences.returning in ("representation", "headers-only")
    return WritePlan(
        kind=request.action,
        table=table,
        columns=columns,
        payload=request.payload,
        where=tuple(where),
        conflict=_conflict(request, table),
        with_defaults=preferences.missing == "default",
        returning=_returning(root, table.primary_key) if returns else (),
        location_keys=table.primary_key if preferences.returning == "headers-only" else (),
        root=root,
        representation=request.representation,
        represents=preferences.represents,
    )


def _payload_columns(request: ApiRequest, table: Table) -> tuple[Column, ...]:
    if request.payload is None:
        return ()
    columns: list[Column] = []
    for name in sorted(request.payload.keys):
        column = table.columns.get(name)
        if column is None:
            raise SchemaError(
                "PGRST204",
                f"Could not find the '{name}' column of '{table.name}' in the schema cache",
            )
        columns.append(column)
    return tuple(columns)


def _conflict(request: ApiRequest, table: Table) -> Conflict | None:
    resolution = request.preferences.resolution
    if request.action != "insert" or resolution is None:
        return None
    wanted = request.query.on_conflict or table.primary_key
    for name in wanted:
        if name not in table.columns:
            raise SchemaError("42703", f'column "{name}" does not exist', status=400)
    if not wanted:
        return None
    return Conflict(tuple(wanted), merge=resolution == "merge-duplicates")


def _returning(root: ReadNode, primary_key: tuple[str, ...]) -> tuple[str, ...]:
    """List the columns that the outer select and its joins need."""
    if any(column.field is None for column in root.select):
        return ("*",)
    names = {column.field.column.name for column in root.select if column.field}
    names.update(primary_key)
    for embed in root.embeds:
        names.update(embed.near_columns)
    return tuple(quote_identifier(name) for name in sorted(names)) or ("*",)


def _call(request: ApiRequest, cache: SchemaCache, max_rows: int | None) -> CallPlan:
    function, keys, whole_body = find_function(cache, request)
    preferences = request.preferences
    if preferences.strict and preferences.max_affected is not None and not function.returns_set:
        raise RequestError("PGRST128")
    table = (function.schema, function.table) if function.table else None
    root = ReadNode(
        label=function.table or function.name,
        relation=SOURCE,
        alias='"pgrst_w"',
        columns=function.columns,
        relationships_of=table,
    )
    _fill(request, cache, root, max_rows)
    if not function.returns_set:
        root.window = request.window
    read_only = request.payload is None or function.volatility != "v"
    return CallPlan(
        function=function,
        parameters=tuple(each for each in function.parameters if whole_body or each.name in keys),
        arguments=_arguments(request, function),
        payload=request.payload,
        whole_body=whole_body,
        root=root,
        representation=request.representation,
        count=preferences.count is not None,
        headers_only=request.method == "HEAD",
        read_only=read_only,
    )


def _arguments(request: ApiRequest, function: Function) -> dict[str, str | tuple[str, ...]]:
    if request.payload is not None:
        return {}
    variadic = {each.name for each in function.parameters if each.variadic}
    values: dict[str, str | tuple[str, ...]] = {}
    for name, value in request.query.arguments:
        if name in variadic:
            earlier = values.get(name, ())
            values[name] = (*(earlier if isinstance(earlier, tuple) else ()), value)
        else:
            values[name] = value
    return values
