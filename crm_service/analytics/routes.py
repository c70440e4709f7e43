"""HTTP of the dashboard; the numbers are computed by the database, as the caller may see them."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from annotated_types import Ge, Le
from fastapi import APIRouter, Query, Response

from crm_service.analytics.schemas import Dashboard
from crm_service.dependencies import ReaderDep
from crm_service.errors import InvalidRequestError
from crm_service.fields import Day
from crm_service.printed_response import PrintedResponse

router = APIRouter(prefix="/analytics", tags=["analytics"])
_DEFAULT_DAYS = 30
_MAX_DAYS = 367
_FIRST_DAY = date(1900, 1, 1)
_LAST_DAY = date(2200, 1, 1)


@router.get("/dashboard", response_model=Dashboard)
async def get_dashboard(
    reader: ReaderDep,
    first_day: Annotated[Day | None, Ge(_FIRST_DAY), Le(_LAST_DAY)] = None,
    last_day: Annotated[Day | None, Ge(_FIRST_DAY), Le(_LAST_DAY)] = None,
    zone: Annotated[
        str, Query(max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$", description="Where days begin.")
    ] = "UTC",
) -> Response:
    """Tell the numbers of a range of days, both included; the last 30 days by default.

    A range has at most 367 days.
    """
    last = last_day or _today(zone)
    first = first_day or last - timedelta(days=_DEFAULT_DAYS - 1)
    if not 0 <= (last - first).days < _MAX_DAYS:
        reason = f"must be on or after first_day, and at most {_MAX_DAYS - 1} days later"
        raise InvalidRequestError(
            f"last_day {reason}.", [{"field": "query.last_day", "message": reason}]
        )
    arguments = {"first_day": first, "last_day": last, "zone": zone}
    # Passed on as it is: reading and printing the days of a year again takes 4 ms.
    text = await reader.call_for_text("dashboard", arguments)
    return PrintedResponse(text)


def _today(zone: str) -> date:
    """Return the day that it is there; of a zone that only the database may know, that of UTC."""
    try:
        return datetime.now(ZoneInfo(zone)).date()
    except (OSError, ValueError, KeyError):  # a folder's name, no key at all, an unknown one
        return datetime.now(UTC).date()
