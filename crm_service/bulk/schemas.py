"""Bodies and results of bulk calls."""

from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from crm_service.fields import Body, Flag
from crm_service.problems import FieldProblem

MAX_ROWS = 1000

RowStatus: TypeAlias = Literal["created", "updated", "unchanged", "failed", "undone"]


class BulkRequest(Body):
    """Up to 1,000 new rows, each as the single call takes it."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"items": [{"name": "Ada"}], "atomic": False}}
    )

    items: Annotated[list[JsonValue], Field(min_length=1, max_length=MAX_ROWS)]
    atomic: Flag = Field(default=False, description="All rows or none.")


class RowResult(BaseModel):
    """What became of one row."""

    index: int = Field(description="Place in `items`, from 0.")
    status: RowStatus = Field(
        description="`unchanged`: it was there already; `undone`: all or nothing, and another "
        "row was refused."
    )
    id: UUID | None = None
    version: int | None = None
    code: str | None = Field(default=None, description="Why it failed, as in problem types.")
    detail: str | None = None
    errors: list[FieldProblem] | None = None


class BulkResult(BaseModel):
    """What became of all rows, in their order."""

    created: int
    updated: int
    unchanged: int
    failed: int
    results: list[RowResult]


def summarise(results: list[RowResult]) -> BulkResult:
    """Count the results."""
    counts: dict[str, Any] = {
        status: sum(result.status == status for result in results)
        for status in ("created", "updated", "unchanged", "failed")
    }
    return BulkResult(**counts, results=results)
