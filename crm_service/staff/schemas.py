"""Bodies and rows of staff."""

from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from crm_service.fields import Body, Email, Flag, Name, Record, Stamp, UpdateBody, optional_field

Role: TypeAlias = Literal["admin", "manager", "agent"]


class StaffCreate(Body):
    """Make an existing sign-in a member of staff."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "user_id": "a0000000-0000-4000-8000-000000000009",
                "full_name": "Grace Hopper",
                "email": "grace@crm.example",
                "role": "agent",
            }
        }
    )

    user_id: UUID
    full_name: Name
    email: Email
    role: Role = "agent"


class StaffUpdate(UpdateBody):
    """Changes to a member of staff; inactive takes every right away at once."""

    model_config = ConfigDict(json_schema_extra={"example": {"role": "manager", "version": 1}})

    full_name: Name = optional_field()
    email: Email = optional_field()
    role: Role = optional_field()
    active: Flag = optional_field()


class StaffRead(Record):
    """A member of staff."""

    user_id: UUID
    full_name: str
    email: str
    role: Role
    active: bool
    updated_at: Stamp


class Me(BaseModel):
    """Who is calling."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    user_id: UUID
    full_name: str
    email: str
    role: Role
