"""From a raw query string to a ``Query``: sorts parameters into select, filters, order, windows."""

from urllib.parse import unquote_to_bytes

from local_stack.rest.parse_filter import has_condition, parse_filter, parse_logic, parse_tree_path
from local_stack.rest.parse_order import parse_order
from local_stack.rest.parse_select import parse_columns, parse_select
from local_stack.rest.syntax import (
    EmbedPath,
    Field,
    LogicNode,
    OrderTerm,
    Query,
    SelectField,
    Window,
)

_STAR = (SelectField(Field("*")),)
_RESERVED = frozenset({"select", "columns", "on_conflict"})


def split_query_string(raw: str) -> list[tuple[str, str]]:
    """Decode ``a=b&c=d``; parameters without ``=`` are dropped, bad UTF-8 is replaced."""
    pairs: list[tuple[str, str]] = []
    for part in raw.split("&"):
        key, separator, value = part.partition("=")
        if separator:
            pairs.append((_decode(key), _decode(value)))
    return pairs


def parse_query(raw: str, *, is_function_read: bool) -> Query:
    """Parse a whole query string.

    Args:
        raw: Without the question mark.
        is_function_read: On ``GET /rpc/…`` values that do not read as filters are arguments.

    Raises:
        RequestError: PGRST100 where a parameter does not follow its grammar.
    """
    pairs = split_query_string(raw) if raw else []
    first = {key: value for key, value in reversed(pairs) if key in _RESERVED}
    filters: list[tuple[EmbedPath, LogicNode]] = []
    logic: list[tuple[EmbedPath, LogicNode]] = []
    order: list[tuple[EmbedPath, tuple[OrderTerm, ...]]] = []
    arguments: list[tuple[str, str]] = []
    windows: dict[EmbedPath, Window] = {}
    for key, value in pairs:
        if key in _RESERVED:
            continue
        last = key.rpartition(".")[2]
        if last == "order":
            if value:
                order.append((parse_tree_path(key)[0], parse_order(value)))
        elif last in ("limit", "offset"):
            _add_window(windows, key, last, value)
        elif last in ("and", "or"):
            logic.append(parse_logic(key, value))
        elif is_function_read and "." not in key and not has_condition(value):
            arguments.append((key, value))
        else:
            filters.append(parse_filter(key, value))
    columns = first.get("columns")
    conflict = first.get("on_conflict")
    return Query(
        select=parse_select(first["select"]) if first.get("select") else _STAR,
        filters=tuple(filters) + tuple(logic),
        order=tuple(order),
        windows=windows,
        columns=parse_columns(columns, "columns") if columns is not None else None,
        on_conflict=parse_columns(conflict, "on_conflict") if conflict is not None else None,
        arguments=tuple(arguments),
        pairs=tuple(pairs),
    )


def _decode(text: str) -> str:
    if "+" in text:
        text = text.replace("+", " ")
    if "%" in text:
        return unquote_to_bytes(text).decode("utf-8", "replace")
    return text


def _add_window(windows: dict[EmbedPath, Window], key: str, kind: str, value: str) -> None:
    """Keep a number; PostgREST ignores what is none."""
    digits = value.strip()
    if not digits.removeprefix("-").isdigit() or not digits.isascii() or len(digits) > 18:
        return
    path = parse_tree_path(key)[0]
    old = windows.get(path, Window())
    number = int(digits)
    if kind == "limit":
        windows[path] = Window(old.offset, number)
    else:
        windows[path] = Window(number, old.limit)
