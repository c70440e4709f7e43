"""Bodies and rows of messages."""

from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from crm_service.fields import CreateBody, IdRecord, MessageBody, Stamp


class MessageCreate(CreateBody):
    """A message of staff to a customer; sender and name are filled in by the database."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "customer_id": "c0000000-0000-4000-8000-000000000001",
                "body": "We are on our way.",
            }
        }
    )

    customer_id: UUID
    body: MessageBody


class MessageRead(IdRecord):
    """A message."""

    customer_id: UUID
    sender: Literal["staff", "customer"]
    sender_id: UUID | None
    sender_name: str | None
    body: str
    read_at: Stamp | None = Field(description="Set once, by the receiving side.")
    updated_at: Stamp
    deleted_at: Stamp | None
