"""HTTP of who does which job. Who may assign whom is decided by the database."""

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Response

from crm_service.access import Reader, Writer
from crm_service.dependencies import IfMatch, ReaderDep, WriterDep, say_replayed
from crm_service.errors import NotFoundError, ReplayedError, StaleVersionError
from crm_service.jobs.schemas import JobAssign, JobAssignment
from crm_service.problems import describe
from crm_service.versions import Expected, FieldConflict, expected_version, render_etag

router = APIRouter(prefix="/jobs", tags=["jobs"])
_REFUSALS = describe(404, 409, 412)


@router.get("/{job_id}/assignment", responses=describe(404))
async def get_job_assignment(reader: ReaderDep, response: Response, job_id: UUID) -> JobAssignment:
    """Tell who does a job."""
    return _answer(response, await _assignment(reader, job_id))


@router.post("/{job_id}/assign", responses=_REFUSALS)
async def assign_job(
    writer: WriterDep, response: Response, job_id: UUID, body: JobAssign, if_match: IfMatch = None
) -> JobAssignment:
    """Assign a job: managers to anybody, agents a free one to themselves.

    `If-Match` is the ETag of the assignment; `"0"` for a job that was never assigned.
    """
    return await _assign(writer, response, job_id, str(body.assigned_to), if_match)


@router.post("/{job_id}/unassign", responses=_REFUSALS)
async def unassign_job(
    writer: WriterDep, response: Response, job_id: UUID, if_match: IfMatch = None
) -> JobAssignment:
    """Give a job back, so that somebody else can take it; agents their own."""
    return await _assign(writer, response, job_id, None, if_match)


async def _assign(
    writer: Writer, response: Response, job_id: UUID, to: str | None, if_match: str | None
) -> JobAssignment:
    expected = expected_version(if_match, None, required=False)
    arguments: dict[str, Any] = {"job_id": str(job_id), "assigned_to": to}
    if expected.version is not None:
        arguments["expected_version"] = expected.version
    try:
        written = JobAssignment.model_validate(await writer.call_for_row("assign_job", arguments))
    except ReplayedError:
        written = await _assignment(writer, job_id)
        say_replayed(response)
    except StaleVersionError:
        current = await _assignment(writer, job_id)
        conflict = await _conflict(writer, current, to, expected)
        raise expected.stale(current.model_dump(mode="json"), [conflict]) from None
    return _answer(response, written)


async def _assignment(reader: Reader, job_id: UUID) -> JobAssignment:
    query = {"select": "id,assignment:job_assignments(*)", "id": f"eq.{job_id}"}
    rows = await reader.select("jobs", query)
    if not rows:
        raise NotFoundError("There is no job with this id.")
    never = {"job_id": job_id, "assigned_to": None, "version": 0, "updated_at": None}
    return JobAssignment.model_validate(rows[0]["assignment"] or never)


async def _conflict(
    reader: Reader, current: JobAssignment, to: str | None, expected: Expected
) -> FieldConflict:
    """Tell who was quicker: the log knows, which a job that was never assigned is not in."""
    query = [
        ("select", "old,actor,at"),
        ("table_name", "eq.job_assignments"),
        ("row_id", f"eq.{current.job_id}"),
        ("row_version", f"gt.{expected.version}"),
        ("order", "id.asc"),
    ]
    entries = await reader.select("activity_log", query)
    first, last = (entries[0], entries[-1]) if entries else ({}, {})
    return FieldConflict(
        field="assigned_to",
        yours=to,
        theirs=str(current.assigned_to) if current.assigned_to else None,
        base=(first.get("old") or {}).get("assigned_to"),
        changed_by=last.get("actor"),
        changed_at=last.get("at"),
    )


def _answer(response: Response, assignment: JobAssignment) -> JobAssignment:
    response.headers["ETag"] = render_etag(assignment.version)
    return assignment
