"""What can be written in bulk: per kind the table, the model of one row, and its columns; pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json, to_jsonable_python

from crm_service.bulk.schemas import RowResult
from crm_service.calls.schemas import CallCreate
from crm_service.customers.schemas import CustomerCreate
from crm_service.fields import Body
from crm_service.invoices.schemas import InvoiceCreate
from crm_service.jobs.schemas import JobCreate
from crm_service.leads.schemas import LeadCreate
from crm_service.loyalty.schemas import PointsAdjustment, PointsGrant, PointsRedemption
from crm_service.messages.schemas import MessageCreate
from crm_service.problems import FieldProblem, field_problems

BulkKind: TypeAlias = Literal[
    "customers", "jobs", "invoices", "messages", "loyalty", "leads", "calls"
]


class BulkLead(LeadCreate):
    """A lead that names its customer."""

    customer_id: UUID


class BulkAward(PointsGrant):
    """Points given: ``kind`` award or bonus."""

    kind: Literal["award", "bonus"] = "award"


class BulkAdjustment(PointsAdjustment):
    """A correction."""

    kind: Literal["adjust"]


class BulkRedemption(PointsRedemption):
    """Points spent."""

    kind: Literal["redeem"]


_LEDGER: dict[str, type[Body]] = {
    "award": BulkAward,
    "bonus": BulkAward,
    "adjust": BulkAdjustment,
    "redeem": BulkRedemption,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """How rows of one kind are read and written.

    Attributes:
        table: Name in the database.
        key: Primary key column.
        model: Chooses the model of a row.
        columns: Turns a validated row into columns, without the key; takes the caller's id.
    """

    table: str
    model: Callable[[Any], type[Body]]
    columns: Callable[[Any, UUID], dict[str, Any]]
    key: str = "id"


def _plain(model: type[Body]) -> Callable[[Any], type[Body]]:
    return lambda _: model


def _ledger_model(item: Any) -> type[Body]:
    kind = item.get("kind") if isinstance(item, dict) else None
    return _LEDGER.get(kind, BulkAward) if isinstance(kind, str) else BulkAward


KINDS: dict[BulkKind, Kind] = {
    "customers": Kind("customers", _plain(CustomerCreate), lambda row, _: row.columns()),
    "jobs": Kind("jobs", _plain(JobCreate), lambda row, _: row.columns()),
    "invoices": Kind(
        "invoices",
        _plain(InvoiceCreate),
        lambda row, _: {**row.columns(), "items": row.item_rows()},
    ),
    "messages": Kind("messages", _plain(MessageCreate), lambda row, _: row.columns()),
    "loyalty": Kind(
        "loyalty_transactions",
        _ledger_model,
        lambda row, _: {**row.columns(), "kind": row.kind},
    ),
    "leads": Kind(
        "leads",
        _plain(BulkLead),
        lambda row, caller: row.columns(caller),
        key="customer_id",
    ),
    "calls": Kind(
        "calls", _plain(CallCreate), lambda row, caller: {"staff_id": caller, **row.columns()}
    ),
}


def read_row(
    kind: Kind, index: int, item: Any, caller: UUID, new_id: UUID
) -> dict[str, Any] | RowResult:
    """Validate one row; return its columns with the key, or why it is refused."""
    try:
        row = kind.model(item).model_validate_json(to_json(item))
    except PydanticSerializationError:
        problem = {"field": "item", "message": "must not contain half characters"}
        return refused_row(index, [problem])
    except ValidationError as error:
        return refused_row(index, field_problems(error.errors(), "item"))
    columns = kind.columns(row, caller)
    if kind.key == "id":
        columns["id"] = getattr(row, "id", None) or new_id
    return dict(to_jsonable_python(columns))


def refused_row(index: int, problems: list[dict[str, str]]) -> RowResult:
    """Build the result of a row that cannot even be tried."""
    named = ", ".join(dict.fromkeys(problem["field"] for problem in problems))
    return RowResult(
        index=index,
        status="failed",
        code="invalid-request",
        detail=f"Correct these: {named}.",
        errors=[FieldProblem(**problem) for problem in problems],
    )
