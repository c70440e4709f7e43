"""What staff tools are told: entries of the activity log, each once, without gaps.

The position is a snapshot of the database (``activity_since``): committed since then is exactly
what the snapshot did not see, however early its numbers were drawn.
"""

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from crm_service.access import Reader
from crm_service.database import Row
from crm_service.errors import InvalidRequestError, RuleRefusedError, UpstreamContractError

_PAGE = 500
_SNAPSHOT = r"\d{1,19}:\d{1,19}:[\d,]*"
# What activity_since takes (docs/reference/database.md): epoch, snapshot, and inside a stretch
# also its end and the last entry received.
CURSOR_PATTERN = rf"^[0-9a-f-]{{36}}~{_SNAPSHOT}(~{_SNAPSHOT}~\d{{1,18}})?$"
_CURSOR = re.compile(CURSOR_PATTERN)


class Entry(NamedTuple):
    """One entry and the position behind it."""

    row: Row
    cursor: str


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    entries: list[dict[str, Any]]
    cursor: str
    within: str | None
    more: bool
    reset: str | None


class ActivityFeed:
    """Read the log forward from a position.

    Args:
        reader: On whose behalf; row-level security decides what they see.
        cursor: Position behind the last entry received; None starts now.

    Attributes:
        cursor: Position reached.
        reset: Why the position given was of no use, until the caller has been told.
    """

    def __init__(self, reader: Reader, cursor: str | None) -> None:
        self._reader = reader
        self.cursor = cursor
        self.reset: str | None = None

    async def start(self) -> None:
        """Check the position, or find the present one.

        Raises:
            InvalidRequestError: The position was never given.
            AccessError: The caller is not staff.
            UpstreamError: The database does not answer.
        """
        if self.cursor is not None and not _CURSOR.match(self.cursor):
            raise _never_given()
        if self.cursor is None:
            self._move(await self._ask(1))
            return
        try:
            answer = await self._ask(1)
        except RuleRefusedError as error:
            raise _never_given() from error
        if answer.reset is not None:
            self._move(answer)

    async def news(self) -> AsyncIterator[Entry]:
        """Yield what was committed since the position, up to now.

        Within a stretch entries come in the order of their numbers, so a row's in the order of
        its versions. The position moves on with each entry.

        Raises:
            AccessError: The caller is not staff any more.
            UpstreamError: The database does not answer.
        """
        while True:
            answer = await self._ask(_PAGE)
            for row in answer.entries:
                # Behind the last one of a stretch, the shorter position means the same.
                last = row is answer.entries[-1]
                self.cursor = answer.cursor if last else f"{answer.within}{row['id']}"
                yield Entry(row, self.cursor)
            self._move(answer)
            if not answer.more:
                return

    def _move(self, answer: _Answer) -> None:
        self.cursor = answer.cursor
        if answer.reset is not None:
            self.reset = answer.reset

    async def _ask(self, limit: int) -> _Answer:
        found = await self._reader.call("activity_since", {"after": self.cursor, "limit": limit})
        try:
            return _Answer.model_validate(found)
        except ValidationError as error:
            raise UpstreamContractError(
                "activity_since answers differently than expected. Apply supabase/migrations.",
                retry_after_s=60,
            ) from error


def _never_given() -> InvalidRequestError:
    return InvalidRequestError(
        "Last-Event-ID is no id of this stream. Leave it out to start now.",
        [{"field": "header.last-event-id", "message": "must be the id of an event received"}],
    )
