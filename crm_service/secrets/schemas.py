"""Bodies and rows of sensitive fields."""

from typing import Annotated
from uuid import UUID

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_serializer, field_validator

from crm_service.fields import Body, Record, Stamp

SecretName = Annotated[
    str,
    Path(
        pattern=r"^[a-z][a-z0-9_]{0,39}$",
        description="What it is, such as `gate_code`.",
        examples=["gate_code"],
    ),
]


class SecretWrite(Body):
    """A sensitive value; it is encrypted before it leaves the service."""

    model_config = ConfigDict(json_schema_extra={"example": {"value": "4711#"}})

    value: SecretStr = Field(min_length=1, max_length=2000)

    @field_validator("value")
    @classmethod
    def _refuse_strange_text(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if "\x00" in text:
            raise ValueError("must not contain the NUL character")
        try:
            text.encode()
        except UnicodeEncodeError:
            # Not its own message, which repeats the value.
            raise ValueError("must not contain half characters") from None
        return value

    @field_serializer("value", when_used="json")
    def _send(self, value: SecretStr) -> str:
        # Only the client renders bodies as JSON, to send them.
        return value.get_secret_value()


class SecretRead(Record):
    """That there is a sensitive value; what it is, only `reveal` tells."""

    customer_id: UUID
    name: str
    key_id: str | None = Field(description="Key it is encrypted with; null when removed.")
    updated_at: Stamp


class SecretRevealed(BaseModel):
    """A sensitive value in plain text; that it was read is in the customer's timeline."""

    customer_id: UUID
    name: str
    value: str
    version: int


class UnreadableSecret(BaseModel):
    """A value that does not open, and why."""

    customer_id: UUID
    name: str
    detail: str


class Reencrypted(BaseModel):
    """What a re-encryption did."""

    key_id: str = Field(description="The current key.")
    renewed: int
    skipped: int = Field(description="Changed by somebody meanwhile; they are renewed next time.")
    unreadable: list[UnreadableSecret] = Field(
        description="Left as they are. Write them anew, or give back the key that they name."
    )
    more: bool = Field(description="Other values of older keys remain: call again.")
