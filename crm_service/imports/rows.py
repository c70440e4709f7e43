"""Turn lines of a CSV file into rows of a kind; pure.

A key column gives every line an id that is the same in every import, so that importing again
finds the rows again. Without one, the place in the file counts, for one request and its repeats.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from uuid import UUID, uuid5

from crm_service.bulk.kinds import KINDS, Kind
from crm_service.customers.schemas import CustomerCreate
from crm_service.errors import InvalidRequestError
from crm_service.imports.cells import as_written
from crm_service.jobs.schemas import JobCreate
from crm_service.leads.schemas import LeadCreate

ImportKind: TypeAlias = Literal["customers", "leads", "jobs"]

_NAMESPACE = UUID("0b7d1f52-7c3f-5a51-9d3b-3b1a6f0d6c44")
_WHOLE = {"score", "estimated_value_cents"}
_DECIMAL = {"conversion_probability"}
_JSON = {"preferences"}
_OTHER_SIGNS = {";": "semicolons", "\t": "tabs", "|": "bars"}

_CUSTOMER = frozenset(CustomerCreate.model_fields)
_LEAD = frozenset(LeadCreate.model_fields)
COLUMNS: dict[ImportKind, frozenset[str]] = {
    "customers": _CUSTOMER,
    # What an export calls the id of a lead.
    "leads": _CUSTOMER | _LEAD | {"customer_id"},
    "jobs": frozenset(JobCreate.model_fields) | {"customer_key"},
}
_IDS: dict[ImportKind, frozenset[str]] = {
    "customers": frozenset({"id"}),
    "leads": frozenset({"id", "customer_id"}),
    "jobs": frozenset({"id"}),
}
_REQUIRED: dict[ImportKind, str] = {"customers": "name", "leads": "name", "jobs": "title"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a file is read.

    Attributes:
        kind: What its lines are.
        mapping: Column of ours by header of the file; headers that are not here are left out.
        key_header: Header of the column that names a line for good, or None.
        source: Tells files apart whose keys might be the same.
        request_key: Names lines when there is no key column.
    """

    kind: ImportKind
    mapping: Mapping[str, str]
    key_header: str | None
    source: str
    request_key: str


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file.

    Attributes:
        number: In the file; the header is line 1.
        key: Value of the key column; empty without one.
        items: Per table kind the JSON value of the row, in the order they are written.
    """

    number: int
    key: str
    items: tuple[tuple[Kind, dict[str, Any]], ...]


def make_plan(
    kind: ImportKind,
    header: list[str],
    given: Mapping[str, str],
    *,
    key_header: str | None,
    source: str,
    request_key: str | None,
) -> Plan:
    """Match the header of a file with the columns of a kind.

    Args:
        kind: What the lines are.
        header: First line of the file.
        given: Column by header, where the names differ.
        key_header: Header of the key column.
        source: Name of the file's origin.
        request_key: Idempotency key of the request.

    Raises:
        InvalidRequestError: A header or column is unknown or missing; names it.
    """
    known = COLUMNS[kind]
    for name, column in given.items():
        if name not in header:
            raise _refusal("map", f"names the header '{name}', which the file does not have")
        if column not in known:
            raise _refusal("map", f"names the column '{column}'; known: {', '.join(sorted(known))}")
    own = {name: name.strip().lower().replace(" ", "_") for name in header if name not in given}
    mapping = {**{name: column for name, column in own.items() if column in known}, **given}
    _refuse_unfit(kind, header, mapping, "map" if given else "body")
    if key_header is not None and key_header not in header:
        raise _refusal("key_column", f"names '{key_header}', which is no header of the file")
    if key_header is None and request_key is None:
        raise _refusal(
            "key_column",
            "is needed to find the rows again, or send an Idempotency-Key for a single import",
        )
    return Plan(kind, mapping, key_header, source, request_key or "")


def _refuse_unfit(
    kind: ImportKind, header: list[str], mapping: Mapping[str, str], field: str
) -> None:
    """Raise if two headers are the same column, or none is the one that a row must have."""
    columns = list(mapping.values())
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        of = [name for name, column in mapping.items() if column == twice[0]]
        raise _refusal(field, f"has more than one header for '{twice[0]}': {', '.join(of)}")
    needed = _REQUIRED[kind]
    if needed in columns:
        return
    if len(header) == 1 and (reason := other_separator(header[0])):
        raise _refusal("body", reason)
    there_is = ", ".join(header)[:500]
    raise _refusal(
        field,
        f"has no header '{needed}', only: {there_is}. Rename one, or say which one it is: "
        f"map=<header>={needed}",
    )


def other_separator(first_line: str) -> str:
    """Say that a file is separated by something else than commas; empty if it is not."""
    if "," in first_line:
        return ""
    sign = next((sign for sign in _OTHER_SIGNS if sign in first_line), None)
    return f"is separated by {_OTHER_SIGNS[sign]}; save it with commas" if sign else ""


def read_header(text: Iterator[str]) -> list[str]:
    """Return the headers of a file.

    Raises:
        InvalidRequestError: There is none, or one is there twice.
    """
    header = next(csv.reader(text, strict=True), [])
    if not any(name.strip() for name in header):
        raise _refusal("body", "has no header line")
    # Spreadsheets often have empty columns at their end; what has no name is left out.
    named = [name for name in header if name.strip()]
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise _refusal("body", f"has the header '{twice[:100]}' twice")
    return header


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that is no row.

    Attributes:
        number: In the file; the header is line 1.
        reason: What is wrong.
    """

    number: int
    reason: str
    key: str = ""


def find_repeats(text: Iterable[str], header: list[str], plan: Plan) -> dict[int, int]:
    """Return the lines whose row a later line is about, too, each with the last such line.

    Were both written, each import of the same file would change the row back and forth.
    """
    ids = [header.index(name) for name, column in plan.mapping.items() if column in _IDS[plan.kind]]
    keys = [] if plan.key_header is None else [header.index(plan.key_header)]
    last: dict[str, int] = {}
    repeats: list[tuple[int, str]] = []
    for number, cells in enumerate(csv.reader(text, strict=True), start=2):
        if len(cells) != len(header) or not all(cells[place].strip() for place in keys):
            continue
        told = [cells[place].strip().lower() for place in ids]
        told += [f"key {cells[place].strip()}" for place in keys]
        if name := next(filter(None, told), ""):
            if name in last:
                repeats.append((last[name], name))
            last[name] = number
    return {number: last[name] for number, name in repeats}


def read_lines(
    text: Iterable[str], header: list[str], plan: Plan, repeats: Mapping[int, int]
) -> Iterator[Line | BrokenLine]:
    """Yield the lines behind the header; those that a later line repeats are broken."""
    for number, cells in enumerate(csv.reader(text, strict=True), start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            yield BrokenLine(number, "It has another number of cells than the header.")
            continue
        named = dict(zip(header, cells, strict=True))
        if plan.key_header is not None and not named[plan.key_header].strip():
            # Its place in the file is no name: the next file has another line there.
            yield BrokenLine(number, f"It has no '{plan.key_header}', which names a line for good.")
            continue
        line = _line(number, named, plan)
        if number in repeats:
            told = f"It is about the same as line {repeats[number]}, which is taken instead."
            yield BrokenLine(number, told, line.key)
            continue
        yield line


def _line(number: int, cells: Mapping[str, str], plan: Plan) -> Line:
    key = cells[plan.key_header].strip() if plan.key_header else ""
    values = {
        column: _value(column, cells[name])
        for name, column in plan.mapping.items()
        if cells[name].strip()
    }
    own_id = values.pop("id", None)
    if plan.kind == "leads":
        own_id = values.pop("customer_id", None) or own_id
    row_id = own_id or str(_row_id(plan, plan.kind, number, key))
    if plan.kind == "leads":
        customer = {name: value for name, value in values.items() if name in _CUSTOMER}
        lead = {name: value for name, value in values.items() if name in _LEAD}
        return Line(
            number,
            key,
            (
                (KINDS["customers"], {**customer, "id": row_id}),
                (KINDS["leads"], {**lead, "customer_id": row_id}),
            ),
        )
    if plan.kind == "jobs" and "customer_key" in values:
        customer_key = str(values.pop("customer_key"))
        values.setdefault("customer_id", str(_row_id(plan, "customers", number, customer_key)))
    return Line(number, key, ((KINDS[plan.kind], {**values, "id": row_id}),))


def _row_id(plan: Plan, kind: str, number: int, key: str) -> UUID:
    # A lead is named by its customer, so that both files find the same one.
    of = "customers" if kind == "leads" else kind
    name = f"key\n{key}" if key else f"line\n{plan.request_key}\n{number}"
    return uuid5(_NAMESPACE, f"{of}\n{plan.source}\n{name}")


def _value(column: str, cell: str) -> Any:
    """Read a cell; what does not fit is left as it is and refused by the model, by name."""
    text = as_written(cell.strip())
    try:
        if column in _WHOLE:
            return int(text)
        if column in _DECIMAL:
            return float(text)
        if column in _JSON:
            return json.loads(text)
    except ValueError:
        return text
    return text


def _refusal(field: str, reason: str) -> InvalidRequestError:
    subject = "The file" if field == "body" else field
    detail = f"{subject} {reason}. Nothing was written."
    return InvalidRequestError(detail, [{"field": field, "message": reason}])
