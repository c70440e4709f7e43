"""HTTP of staff. Everybody reads, admins write; that is decided by the database."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status

from crm_service.database import Row
from crm_service.dependencies import (
    IfMatch,
    ReaderDep,
    SearchText,
    WriterDep,
    answer_changed,
    answer_created,
    paging,
)
from crm_service.editing import change_row
from crm_service.errors import AlreadyExistsError, ConflictError, ReplayedError
from crm_service.filters import equals, search
from crm_service.pagination import Page, PageRequest
from crm_service.problems import describe
from crm_service.staff.schemas import Me, Role, StaffCreate, StaffRead, StaffUpdate
from crm_service.tables import Created, Table
from crm_service.versions import expected_version

router = APIRouter(tags=["staff"])
_staff = Table("staff", StaffRead, noun="member of staff", key="user_id", soft_deleted=False)
_PageDep = Annotated[PageRequest, Depends(paging("full_name"))]


@router.get("/me")
async def get_me(reader: ReaderDep) -> Me:
    """Tell who is calling and in which role."""
    return Me.model_validate(await reader.identify())


@router.get("/staff", response_model=Page[StaffRead])
async def list_staff(
    reader: ReaderDep,
    page: _PageDep,
    text: SearchText = None,
    role: Annotated[Role | None, Query()] = None,
    *,
    active: bool | None = None,
) -> Response:
    """List members of staff; the search looks at name and e-mail."""
    filters = [*search(("full_name", "email"), text), *equals("role", role)]
    if active is not None:
        filters.append(("active", f"is.{str(active).lower()}"))
    return await _staff.page(reader, filters, page)


@router.post("/staff", status_code=status.HTTP_201_CREATED, responses=describe(409))
async def create_staff(writer: WriterDep, response: Response, body: StaffCreate) -> StaffRead:
    """Make an existing sign-in a member of staff; admins only."""
    arguments = body.model_dump(mode="json")
    try:
        created = Created(
            _staff.parse(await writer.call_for_row("create_staff", arguments)), replayed=False
        )
    except ReplayedError:
        created = Created(await _staff.get(writer, body.user_id), replayed=True)
    except AlreadyExistsError:
        stored = await _staff.row(writer, body.user_id)
        if not _staff.holds(stored, body.model_dump()):
            raise AlreadyExistsError(
                "This sign-in is a member of staff already. Change the member with "
                f"PATCH /v1/staff/{body.user_id}."
            ) from None
        created = Created(_staff.parse(stored), replayed=True)
    return answer_created(response, created, "/v1/staff", "user_id")


@router.get("/staff/{user_id}", response_model=StaffRead, responses=describe(404))
async def get_staff(reader: ReaderDep, user_id: UUID) -> Response:
    """Get a member of staff."""
    return await _staff.answer(reader, user_id)


@router.patch("/staff/{user_id}", responses=describe(404, 409, 412, 428))
async def update_staff(
    writer: WriterDep,
    response: Response,
    user_id: UUID,
    body: StaffUpdate,
    if_match: IfMatch = None,
) -> StaffRead:
    """Change name, e-mail, role or activity; admins only, and nobody their own role."""
    expected = expected_version(if_match, body.version, required=True)
    changes = body.changes()

    async def write(version: int | None) -> list[Row]:
        arguments: dict[str, Any] = {"user_id": str(user_id), "changes": changes}
        if version is not None:
            arguments["expected_version"] = version
        try:
            return [await writer.call_for_row("update_staff", arguments)]
        except ReplayedError:
            raise
        except ConflictError:
            current = await _staff.row(writer, user_id)
            if version in {None, current["version"]}:
                raise
            return []

    changed = await change_row(_staff, writer, user_id, changes, expected, write=write)
    return answer_changed(response, changed)
