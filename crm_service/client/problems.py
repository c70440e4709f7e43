"""What the service refuses, as the client raises it: what a script decides by has a class."""

from typing import Any

import httpx

from crm_service.bulk.schemas import RowResult
from crm_service.errors import TYPE_PREFIX, CrmProblemError
from crm_service.problems import FieldProblem
from crm_service.versions import FieldConflict


class CrmConflictError(CrmProblemError):
    """The row has moved on: decide by what is stored now, and send the change with its version."""

    @property
    def current(self) -> dict[str, Any]:
        """The row as it is, by column name."""
        current = self.problem.get("current")
        return dict(current) if isinstance(current, dict) else {}

    @property
    def conflicts(self) -> list[FieldConflict]:
        """Fields that both sides changed, with both values; empty if that is not known."""
        return [FieldConflict(**each) for each in self.problem.get("conflicts") or ()]


class CrmInvalidError(CrmProblemError):
    """Fields of the request are wrong."""

    @property
    def errors(self) -> list[FieldProblem]:
        """Which, and why."""
        return [FieldProblem.model_validate(each) for each in self.problem.get("errors") or ()]


class CrmBulkRefusedError(CrmProblemError):
    """All or nothing, and a row was refused: nothing was written."""

    @property
    def results(self) -> list[RowResult]:
        """What is wrong with which row."""
        return [RowResult.model_validate(each) for each in self.problem.get("results") or ()]


_KINDS: dict[str, type[CrmProblemError]] = {
    "stale-version": CrmConflictError,
    "invalid-request": CrmInvalidError,
    "bulk-refused": CrmBulkRefusedError,
}


def problem_of_answer(response: httpx.Response) -> CrmProblemError:
    """Return the error that an answer stands for."""
    try:
        document = response.json()
    except ValueError:
        document = None
    problem = document if isinstance(document, dict) else {"detail": "not a problem document"}
    code = str(problem.get("type", "")).removeprefix(TYPE_PREFIX)
    wait_s = response.headers.get("Retry-After", "")
    kind = _KINDS.get(code, CrmProblemError)
    return kind(response.status_code, problem, int(wait_s) if wait_s.isdecimal() else None)


def problem_of_event(status: int, data: dict[str, Any]) -> CrmProblemError:
    """Return the error that the event ``problem`` of a stream stands for."""
    code = str(data.get("code"))
    return _KINDS.get(code, CrmProblemError)(status, {**data, "type": f"{TYPE_PREFIX}{code}"})


__all__ = [
    "CrmBulkRefusedError",
    "CrmConflictError",
    "CrmInvalidError",
    "problem_of_answer",
    "problem_of_event",
]
