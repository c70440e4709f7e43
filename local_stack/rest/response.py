"""From a result row to status, headers and body. Pure."""

import json
from dataclasses import dataclass
from urllib.parse import quote

from local_stack.rest.errors import RequestError, RestError
from local_stack.rest.execute import ResultRow
from local_stack.rest.plan_types import CallPlan, Plan, ReadPlan, WritePlan
from local_stack.rest.request import ApiRequest
from local_stack.rest.schema_cache import Function, Table

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back."""

    status: int
    headers: Headers
    body: bytes = b""


def check_result(request: ApiRequest, plan: Plan, row: ResultRow) -> None:
    """Refuse a result that the request does not allow.

    Raises:
        RequestError: PGRST116 when one object was asked for and there is another number of rows,
            PGRST124 when more rows than ``max-affected`` were touched.
    """
    if request.representation.single and row.rows != 1:
        raise RequestError("PGRST116", details=f"The result contains {row.rows} rows")
    limit = request.preferences.max_affected
    if limit is None or not request.preferences.strict or isinstance(plan, ReadPlan):
        return
    counts = isinstance(plan, CallPlan) or plan.kind in ("update", "delete")
    if counts and row.rows > limit:
        raise RequestError("PGRST124", details=f"The query affects {row.rows} rows")


def decides_commit(request: ApiRequest, plan: Plan) -> bool:
    """Tell whether ``check_result`` may have to undo a write."""
    if isinstance(plan, ReadPlan) or (isinstance(plan, CallPlan) and plan.read_only):
        return False
    limited = request.preferences.strict and request.preferences.max_affected is not None
    return request.representation.single or limited


def render_response(request: ApiRequest, plan: Plan, row: ResultRow) -> Response:
    """Build the response.

    Raises:
        RestError: PGRST111 or PGRST112 where a function set bad response headers or status.
    """
    if isinstance(plan, ReadPlan):
        response = _read(request, row)
    elif isinstance(plan, CallPlan):
        response = _call(request, plan, row)
    elif plan.kind == "insert":
        response = _insert(request, plan, row)
    else:
        response = _change(request, plan, row)
    if row.response_headers is None and row.response_status is None:
        return response
    return _overridden(response, row)


def render_table_info(table: Table) -> Response:
    """Answer OPTIONS on a table with what it allows."""
    allowed = ["OPTIONS,GET,HEAD"]
    if table.insertable:
        allowed.append("POST")
    if table.updatable:
        allowed.append("PATCH")
    if table.deletable:
        allowed.append("DELETE")
    return _info(",".join(allowed))


def render_function_info(functions: tuple[Function, ...]) -> Response:
    """Answer OPTIONS on a function."""
    volatile = any(each.volatility == "v" for each in functions)
    return _info("OPTIONS,POST" if volatile else "OPTIONS,GET,HEAD,POST")


def _info(allowed: str) -> Response:
    return Response(200, [("Access-Control-Allow-Origin", "*"), ("Allow", allowed)])


def _content(request: ApiRequest) -> Headers:
    headers = [("Content-Type", request.representation.content_type)]
    if request.by_profile:
        headers.append(("Content-Profile", request.schema))
    return headers


def _applied(request: ApiRequest, *names: str) -> Headers:
    applied = request.preferences.applied({"count", "tx", "handling", "timezone", *names})
    return [("Preference-Applied", applied)] if applied else []


def _content_range(lower: int, upper: int, total: int | None) -> tuple[str, str]:
    known = "*" if total is None else str(total)
    rows = f"{lower}-{upper}" if total != 0 and lower <= upper else "*"
    return "Content-Range", f"{rows}/{known}"


def _ranged(request: ApiRequest, row: ResultRow) -> tuple[int, tuple[str, str]]:
    """Return the status and ``Content-Range`` of a window onto rows."""
    lower = request.window.offset
    upper = lower + row.rows - 1
    header = _content_range(lower, upper, row.total)
    if row.total is None:
        return 200, header
    if lower > row.total:
        return 416, header
    return (206 if row.rows < row.total else 200), header


def _out_of_bounds(request: ApiRequest, row: ResultRow, header: tuple[str, str]) -> Response:
    error = RequestError(
        "PGRST103",
        details=f"An offset of {request.window.offset} was requested, but there are only "
        f"{row.total} rows.",
    )
    return Response(416, [header, *error.all_headers()], error.body())


def _read(request: ApiRequest, row: ResultRow) -> Response:
    status, header = _ranged(request, row)
    if status == 416:
        return _out_of_bounds(request, row, header)
    canonical = request.query.canonical
    location = f"/{quote(request.target)}{'?' + canonical if canonical else ''}"
    headers = [
        header,
        ("Content-Location", location),
        *_content(request),
        *_applied(request),
    ]
    return Response(status, headers, (row.body or "").encode())


def _insert(request: ApiRequest, plan: WritePlan, row: ResultRow) -> Response:
    preferences = request.preferences
    headers: Headers = []
    if row.location:
        query = "&".join(quote(pair, safe="=.*-_~") for pair in row.location)
        headers.append(("Location", f"/{quote(request.target)}?{query}"))
    headers.append(_content_range(1, 0, row.rows if preferences.count else None))
    with_keys = plan.table.primary_key or request.query.on_conflict
    names = ("resolution", "missing", "return") if with_keys else ("missing", "return")
    headers += _applied(request, *names)
    merged = preferences.resolution == "merge-duplicates"
    status = 200 if merged and (row.inserted or 0) <= 0 else 201
    if not preferences.represents:
        return Response(status, headers)
    return Response(status, headers + _content(request), (row.body or "").encode())


def _change(request: ApiRequest, plan: WritePlan, row: ResultRow) -> Response:
    counted = row.rows if request.preferences.count else None
    update = plan.kind == "update"
    span = (0, row.rows - 1) if update else (1, 0)
    names = ("missing", "return", "max-affected") if update else ("return", "max-affected")
    headers = [_content_range(*span, counted), *_applied(request, *names)]
    if not plan.represents:
        return Response(204, headers)
    return Response(200, headers + _content(request), (row.body or "").encode())


def _call(request: ApiRequest, plan: CallPlan, row: ResultRow) -> Response:
    status, header = _ranged(request, row)
    applied = _applied(request, "max-affected")
    if plan.function.returns_void:
        return Response(204, [header, *applied])
    if status == 416:
        return _out_of_bounds(request, row, header)
    return Response(status, [header, *applied, *_content(request)], (row.body or "").encode())


def _overridden(response: Response, row: ResultRow) -> Response:
    """Let the settings ``response.status`` and ``response.headers`` win."""
    status = response.status
    if row.response_status is not None:
        digits = row.response_status.strip()
        if not (digits.isdigit() and 200 <= int(digits) <= 599):
            raise RestError("PGRST112")
        status = int(digits)
    given = _given_headers(row.response_headers)
    names = {name.lower() for name, _ in given}
    kept = [pair for pair in response.headers if pair[0].lower() not in names]
    return Response(status, kept + given, response.body)


def _given_headers(text: str | None) -> Headers:
    if text is None:
        return []
    try:
        listed = json.loads(text)
    except ValueError as error:
        raise RestError("PGRST111") from error
    headers: Headers = []
    for each in listed if isinstance(listed, list) else [None]:
        if not isinstance(each, dict) or len(each) != 1:
            raise RestError("PGRST111")
        name, value = next(iter(each.items()))
        if not isinstance(value, str) or not name.isascii() or {*"\r\n"} & {*name, *value}:
            raise RestError("PGRST111")
        headers.append((name, value))
    return headers
