"""HTTP of jobs. Which step may follow which is decided by the database."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status

from crm_service.access import Reader, Writer
from crm_service.dependencies import (
    Deleted,
    IfMatch,
    ReaderDep,
    SearchText,
    Since,
    Until,
    WriterDep,
    answer_changed,
    answer_created,
    paging,
)
from crm_service.editing import Changed, change_row, delete_row, move_row
from crm_service.fields import MoveToCustomer
from crm_service.filters import Filter, between, equals, one_of, search
from crm_service.jobs.schemas import (
    JobCreate,
    JobRead,
    JobSchedule,
    JobStatus,
    JobStep,
    JobUpdate,
)
from crm_service.pagination import Page, PageRequest
from crm_service.problems import describe
from crm_service.tables import Joined, Table
from crm_service.versions import expected_version

router = APIRouter(prefix="/jobs", tags=["jobs"])
# Who does a job stands in a table of its own, which customers cannot read.
_ASSIGNMENT = Joined("job_assignments", ("assigned_to",))
_jobs = Table("jobs", JobRead, noun="job", joined=_ASSIGNMENT)
_REFUSALS = describe(404, 409, 412)


_PageDep = Annotated[PageRequest, Depends(paging("scheduled_start", "updated_at", "title"))]


@router.get("", response_model=Page[JobRead])
async def list_jobs(
    reader: ReaderDep,
    page: _PageDep,
    text: SearchText = None,
    customer_id: UUID | None = None,
    status: Annotated[list[JobStatus] | None, Query(description="One or more.")] = None,
    starts_from: Since = None,
    starts_before: Until = None,
    assigned_to: Annotated[
        UUID | Literal["me", "nobody"] | None, Query(description="Who does it.")
    ] = None,
    *,
    deleted: Deleted = False,
) -> Response:
    """List jobs; the search looks at title, description and address."""
    filters = [
        *_assigned_to(reader, assigned_to),
        *search(("title", "description", "address"), text),
        *equals("customer_id", customer_id),
        *one_of("status", status),
        *between("scheduled_start", starts_from, starts_before),
    ]
    return await _jobs.page(reader, filters, page, deleted=deleted)


@router.post("", status_code=status.HTTP_201_CREATED, responses=describe(409))
async def create_job(writer: WriterDep, response: Response, body: JobCreate) -> JobRead:
    """Create a job: scheduled if it has a start, requested otherwise."""
    created = await _jobs.create(writer, body.id, body.columns())
    return answer_created(response, created, "/v1/jobs")


@router.get("/{job_id}", response_model=JobRead, responses=describe(404))
async def get_job(reader: ReaderDep, job_id: UUID) -> Response:
    """Get a job."""
    return await _jobs.answer(reader, job_id)


@router.patch("/{job_id}", responses=describe(404, 409, 412, 428))
async def update_job(
    writer: WriterDep, response: Response, job_id: UUID, body: JobUpdate, if_match: IfMatch = None
) -> JobRead:
    """Change what a job is about."""
    expected = expected_version(if_match, body.version, required=True)
    return answer_changed(
        response, await change_row(_jobs, writer, job_id, body.changes(), expected)
    )


@router.delete("/{job_id}", responses=_REFUSALS)
async def delete_job(
    writer: WriterDep, response: Response, job_id: UUID, if_match: IfMatch = None
) -> JobRead:
    """Withdraw a job: it leaves the lists and the customer's portal."""
    expected = expected_version(if_match, None, required=False)
    return answer_changed(response, await delete_row(_jobs, writer, job_id, expected))


@router.post("/{job_id}/move", responses=_REFUSALS)
async def move_job(
    writer: WriterDep,
    response: Response,
    job_id: UUID,
    body: MoveToCustomer,
    if_match: IfMatch = None,
) -> JobRead:
    """Move a job to another customer; it leaves the portal of the first one."""
    expected = expected_version(if_match, None, required=False)
    moved = await move_row(_jobs, writer, job_id, body.customer_id, expected)
    return answer_changed(response, moved)


@router.post("/{job_id}/schedule", responses=_REFUSALS)
async def schedule_job(
    writer: WriterDep, response: Response, job_id: UUID, body: JobSchedule, if_match: IfMatch = None
) -> JobRead:
    """Give a requested job its time."""
    expected = expected_version(if_match, body.version, required=False)
    changes = {**body.changes(), "status": "scheduled"}
    return answer_changed(response, await change_row(_jobs, writer, job_id, changes, expected))


@router.post("/{job_id}/reschedule", responses=_REFUSALS)
async def reschedule_job(
    writer: WriterDep, response: Response, job_id: UUID, body: JobSchedule, if_match: IfMatch = None
) -> JobRead:
    """Move a scheduled job to another time; a started one is scheduled again."""
    expected = expected_version(if_match, body.version, required=False)
    # The database refuses it for a job that is done or cancelled.
    changes = {**body.changes(), "status": "scheduled"}
    return answer_changed(response, await change_row(_jobs, writer, job_id, changes, expected))


@router.post("/{job_id}/start", responses=_REFUSALS)
async def start_job(
    writer: WriterDep,
    response: Response,
    job_id: UUID,
    body: JobStep | None = None,
    if_match: IfMatch = None,
) -> JobRead:
    """Start a job."""
    return answer_changed(response, await _step(writer, job_id, "in_progress", body, if_match))


@router.post("/{job_id}/complete", responses=_REFUSALS)
async def complete_job(
    writer: WriterDep,
    response: Response,
    job_id: UUID,
    body: JobStep | None = None,
    if_match: IfMatch = None,
) -> JobRead:
    """Complete a job."""
    return answer_changed(response, await _step(writer, job_id, "completed", body, if_match))


@router.post("/{job_id}/cancel", responses=_REFUSALS)
async def cancel_job(
    writer: WriterDep,
    response: Response,
    job_id: UUID,
    body: JobStep | None = None,
    if_match: IfMatch = None,
) -> JobRead:
    """Cancel a job."""
    return answer_changed(response, await _step(writer, job_id, "cancelled", body, if_match))


def _assigned_to(reader: Reader, who: UUID | str | None) -> list[Filter]:
    """Keep jobs of one person, or those that nobody does; None keeps all."""
    if who is None:
        return []
    if who == "nobody":
        return [
            ("job_assignments.assigned_to", "not.is.null"),
            ("job_assignments", "is.null"),
        ]
    user_id = reader.caller.subject.user_id if who == "me" else who
    return [
        ("select", _ASSIGNMENT.select(inner=True)),
        ("job_assignments.assigned_to", f"eq.{user_id}"),
    ]


async def _step(
    writer: Writer, job_id: UUID, to: JobStatus, body: JobStep | None, if_match: str | None
) -> Changed[JobRead]:
    expected = expected_version(if_match, body.version if body else None, required=False)
    return await change_row(_jobs, writer, job_id, {"status": to}, expected, merge=False)
