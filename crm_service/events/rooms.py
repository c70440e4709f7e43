"""HTTP of who is online and who is typing: quick, not stored, under the caller's own token."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, status
from pydantic import BaseModel, ConfigDict, Field

from crm_service.access import Reader
from crm_service.dependencies import ReaderDep, ServicesDep
from crm_service.errors import NotFoundError
from crm_service.events.doorbell import STAFF_TOPIC
from crm_service.events.roster import Roster
from crm_service.fields import Body, Flag
from crm_service.problems import describe

router = APIRouter(tags=["events"], responses=describe(503))
ROOM_PATTERN = r"^[A-Za-z0-9._-]{1,64}$"
Room = Annotated[
    str, Query(pattern=ROOM_PATTERN, description="Room of the customer's portal, such as `chat`.")
]


class Member(BaseModel):
    """Somebody in a room."""

    key: str = Field(description="User id, as they say.")
    devices: int
    says: dict[str, Any] = Field(
        description="What their newest device says of them: hearsay, for people to read.",
        examples=[{"name": "Jo", "role": "agent"}],
    )


class Typing(Body):
    """That somebody is typing, or stopped."""

    model_config = ConfigDict(json_schema_extra={"example": {"is_typing": True}})

    is_typing: Flag = True
    room: str = Field(default="chat", pattern=ROOM_PATTERN)


@router.get("/online")
async def list_online(services: ServicesDep, reader: ReaderDep) -> list[Member]:
    """List the colleagues who have an event stream open."""
    await reader.identify()
    return _members(await services.realtime.members(reader.caller.subject, STAFF_TOPIC))


@router.get("/customers/{customer_id}/online", responses=describe(404))
async def list_room(
    services: ServicesDep, reader: ReaderDep, customer_id: UUID, room: Room = "lobby"
) -> list[Member]:
    """List who is in a presence room of a customer's portal: the customer's devices, and staff."""
    await require_customer(reader, customer_id)
    topic = room_topic(customer_id, room)
    return _members(await services.realtime.members(reader.caller.subject, topic))


@router.post(
    "/customers/{customer_id}/typing",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=describe(404),
)
async def say_typing(
    services: ServicesDep, reader: ReaderDep, customer_id: UUID, body: Typing
) -> None:
    """Tell a customer's room that you are typing; say so again every few seconds."""
    await require_customer(reader, customer_id)
    subject = reader.caller.subject
    mark = {"key": str(subject.user_id), "is_typing": body.is_typing}
    await services.realtime.broadcast(subject, room_topic(customer_id, body.room), "typing", mark)


async def require_customer(reader: Reader, customer_id: UUID) -> None:
    """Return if there is such a customer: a room that nobody can enter is a mistake.

    Raises:
        NotFoundError: There is none.
        AccessError: The caller is not staff.
    """
    query = {"select": "id", "id": f"eq.{customer_id}"}
    if not await reader.select("customers", query):
        raise NotFoundError("There is no customer with this id.")


def room_topic(customer_id: UUID, room: str) -> str:
    """Return the topic of a room, as the portals name it."""
    return f"customer:{customer_id}:{room}"


def _members(roster: Roster) -> list[Member]:
    return [Member.model_validate(member) for member in roster.members]
