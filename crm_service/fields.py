"""Field types and model bases shared by the schemas of all slices; no FastAPI here."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    Strict,
    StringConstraints,
    WithJsonSchema,
    model_validator,
)

_EMAIL = re.compile(r"^[^\s@\x00]+@[^\s@\x00]+$")
# Behind an even number of backslashes, which would be text.
_ESCAPED_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_INT64_MAX = 2**63 - 1
# What the database takes of an invoice's line, and of one entry of the ledger.
_MAX_ITEM_NUMBER = 999_999_999
_MAX_POINTS = 1_000_000_000
_MAX_JSON_BYTES = 64 * 1024
# Seconds since 1970 to pydantic, and the serial number of a day to a spreadsheet.
_NUMBER = re.compile(r"\s*[-+]?[\d.]+\s*")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_FIRST_INSTANT = datetime(1900, 1, 1, tzinfo=UTC)
_LAST_INSTANT = datetime(2200, 1, 1, tzinfo=UTC)
_FIRST_DAY, _LAST_DAY = _FIRST_INSTANT.date(), _LAST_INSTANT.date()
_OUT_OF_RANGE = "must lie between the years 1900 and 2199"


def _without_nul(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain the NUL character")
    return value


def _storable(value: Any) -> Any:
    """Refuse JSON that PostgreSQL cannot hold."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size_bytes = len(text.encode())
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    except ValueError:
        raise ValueError("must not contain NaN, infinity or half characters") from None
    if _ESCAPED_NUL.search(text):
        raise ValueError("must not contain the NUL character")
    if size_bytes > _MAX_JSON_BYTES:
        raise ValueError("must be at most 64 KiB of JSON")
    return value


def _with_one_at(value: str) -> str:
    if not _EMAIL.fullmatch(value):
        raise ValueError("must be an e-mail address, such as name@example.com")
    return value


def _refuse_text_and_bool(value: object) -> object:
    # Lax parsing would take "5" and true for numbers.
    if isinstance(value, str | bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - pydantic wants ValueError
    return value


def _refuse_number(value: object) -> object:
    is_number = isinstance(value, int | float)
    if is_number or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        raise ValueError("must be an instant with its zone, such as 2026-12-01T09:00:00Z")
    return value


def _refuse_other_than_day(value: object) -> object:
    if isinstance(value, str | int | float) and not _DAY.fullmatch(str(value)):
        raise ValueError("must be a day, such as 2026-12-01")
    return value


def _in_range(value: datetime) -> datetime:
    if not _FIRST_INSTANT <= value < _LAST_INSTANT:
        raise ValueError(_OUT_OF_RANGE)
    return value


def _day_in_range(value: date) -> date:
    if not _FIRST_DAY <= value < _LAST_DAY:
        raise ValueError(_OUT_OF_RANGE)
    return value


def _as_printed(value: datetime) -> str:
    """Print an instant as PostgreSQL does in JSON: no zeros at the end of the fraction."""
    text = value.isoformat()
    if not value.microsecond:
        return text
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest[:6].rstrip('0')}{rest[6:]}"


_NoNul = AfterValidator(_without_nul)
_Number = BeforeValidator(_refuse_text_and_bool)

JsonObject = Annotated[dict[str, JsonValue], AfterValidator(_storable)]
"""Any JSON object that can be stored."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\S"), _NoNul]
ShortText = Annotated[str, StringConstraints(max_length=1000), _NoNul]
LongText = Annotated[str, StringConstraints(max_length=10_000), _NoNul]
MessageBody = Annotated[
    str, StringConstraints(min_length=1, max_length=10_000, pattern=r"\S"), _NoNul
]
Email = Annotated[
    str,
    StringConstraints(max_length=254),
    AfterValidator(_with_one_at),
    Field(json_schema_extra={"pattern": _EMAIL.pattern}),
]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
WholeNumber = Annotated[int, _Number]
Cents = Annotated[int, _Number, Field(ge=0, le=_INT64_MAX, description="Minor units of money.")]
ItemCents = Annotated[Cents, Field(le=_MAX_ITEM_NUMBER)]
Quantity = Annotated[int, _Number, Field(ge=1, le=_MAX_ITEM_NUMBER)]
Points = Annotated[int, _Number, Field(ge=1, le=_MAX_POINTS)]
SignedPoints = Annotated[int, _Number, Field(ge=-_MAX_POINTS, le=_MAX_POINTS)]
Version = Annotated[
    int,
    _Number,
    Field(ge=1, le=_INT64_MAX, description="The version that the change is based on."),
]
Instant = Annotated[AwareDatetime, AfterValidator(_in_range), BeforeValidator(_refuse_number)]
Day = Annotated[date, BeforeValidator(_refuse_other_than_day), AfterValidator(_day_in_range)]
Flag = Annotated[bool, Strict()]
"""True or false in a body; lax parsing would take 0, 1, "off" and "yes", too."""


def _never_used() -> Any:
    """Stand in for a field that was not sent; such fields never leave the model."""
    return None


def optional_field(**kwargs: Any) -> Any:
    """Declare a field that may be left out but, unlike ``X | None = None``, not be null."""
    default: Callable[[], Any] = _never_used
    return Field(default_factory=default, **kwargs)


class Body(BaseModel):
    """A request body: unknown members are refused, so that a typing mistake is not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CreateBody(Body):
    """A new row; the client may choose its id and repeat the request safely with it."""

    id: UUID | None = Field(
        default=None,
        description="Chosen by the client, so that repeating the request has one effect.",
    )

    def columns(self) -> dict[str, Any]:
        """Return what was sent, without the id, by column name."""
        return self.model_dump(exclude_unset=True, exclude={"id"})


class VersionedBody(Body):
    """A body that may say which version of the row it is based on."""

    model_config = ConfigDict(json_schema_extra={"example": {}})

    version: Version | None = Field(
        default=None, description="The version the change is based on; or use If-Match."
    )

    def changes(self) -> dict[str, Any]:
        """Return what was sent, without the version, by column name."""
        return self.model_dump(exclude_unset=True, exclude={"version"})


class UpdateBody(VersionedBody):
    """Changes to some fields of a row; fields left out stay as they are."""

    @model_validator(mode="after")
    def _refuse_nothing(self) -> Self:
        if not self.model_fields_set - {"version"}:
            raise ValueError("name at least one field to change")
        return self


class MoveToCustomer(Body):
    """Where a row is moved to."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"customer_id": "c0000000-0000-4000-8000-000000000002"}}
    )

    customer_id: UUID


Stamp = Annotated[
    datetime,
    PlainSerializer(_as_printed, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
"""An instant in an answer: lists pass on what the database printed, so all others look the same."""


class Record(BaseModel):
    """A row as the service shows it; columns it does not know are left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int
    created_at: Stamp


class IdRecord(Record):
    """A row with an id of its own."""

    id: UUID
