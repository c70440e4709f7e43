"""What staff tools are told: entries of the activity log, each once per stream.

Entries are numbered when they are written and become visible when their transaction commits, so
a smaller number may appear later. The feed therefore looks back a little each time, and leaves
out what it has given already.
"""

from collections import OrderedDict
from typing import Any

from crm_service.access import Reader
from crm_service.database import Row

_LOOK_BACK = 200
_PAGE = 500
_MAX_REMEMBERED = 5_000


class ActivityFeed:
    """Read the log forward from a position.

    Args:
        reader: On whose behalf; row-level security decides what they see.
        last_id: Entries up to this one were received before; None starts at the end of the log.
    """

    def __init__(self, reader: Reader, last_id: int | None) -> None:
        self._reader = reader
        self._last_id = last_id
        self._given: OrderedDict[int, None] = OrderedDict()

    async def start(self) -> None:
        """Find the position to start from and what lies close before it.

        Raises:
            AccessError: The caller is not staff.
            UpstreamError: The database does not answer.
        """
        if self._last_id is None:
            rows = await self._select({"select": "id", "order": "id.desc", "limit": "1"})
            self._last_id = int(rows[0]["id"]) if rows else 0
        query = {
            "select": "id",
            "and": f"(id.gt.{self._last_id - _LOOK_BACK},id.lte.{self._last_id})",
        }
        for row in await self._select(query):
            self._remember(int(row["id"]))

    async def news(self) -> list[Row]:
        """Return entries that were not given yet, in the order of their numbers.

        Raises:
            AccessError: The caller is not staff any more.
            UpstreamError: The database does not answer.
        """
        assert self._last_id is not None, "start() comes first"  # noqa: S101 - a bug otherwise
        floor = self._last_id - _LOOK_BACK
        found: list[Row] = []
        while True:
            query = {"id": f"gt.{floor}", "order": "id.asc", "limit": str(_PAGE)}
            rows = await self._select(query)
            found += [row for row in rows if int(row["id"]) not in self._given]
            if len(rows) < _PAGE:
                break
            floor = int(rows[-1]["id"])
        for row in found:
            self._remember(int(row["id"]))
            self._last_id = max(self._last_id, int(row["id"]))
        return found

    async def _select(self, query: dict[str, Any]) -> list[Row]:
        return await self._reader.select("activity_log", query)

    def _remember(self, entry_id: int) -> None:
        self._given[entry_id] = None
        if len(self._given) > _MAX_REMEMBERED:
            self._given.popitem(last=False)
