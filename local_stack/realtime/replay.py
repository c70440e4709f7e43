"""Broadcasts stored in realtime.messages, sent again to a private channel that joins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import asyncpg

from local_stack.realtime.broadcast import EVENT
from local_stack.realtime.database import CONNECTION_ERRORS, Database
from local_stack.realtime.errors import JoinRefusedError
from local_stack.realtime.rooms import PREFIX
from local_stack.realtime.wire import (
    Ref,
    Rendered,
    UserBroadcast,
    Version,
    dump_json,
    render_text,
    render_user_broadcast,
)

_MAX_ROWS = 25
_QUERY = """
select id::text as id, event, payload::text as payload, binary_payload
from realtime.messages
where
    topic = $1
    and private
    and extension = 'broadcast'
    and event is not null
    and inserted_at >= $2
    and inserted_at < (now() at time zone 'utc') + interval '1 minute'
order by inserted_at desc
limit $3
"""


@dataclass(frozen=True, slots=True)
class Replayed:
    """One stored message, JSON text or bytes."""

    sub_topic: str
    event: str
    message_id: str
    payload_json: str | None
    data: bytes | None

    def render(self, version: Version, join_ref: Ref) -> Rendered | None:
        """Return its frame; version 1 cannot carry bytes."""
        meta = dump_json({"replayed": True, "id": self.message_id})
        topic = PREFIX + self.sub_topic
        if self.payload_json is not None:
            payload = (
                f'{{"event":{dump_json(self.event)},"meta":{meta},'
                f'"payload":{self.payload_json},"type":"broadcast"}}'
            )
            return render_text(version, topic, EVENT, payload, join_ref=join_ref)
        if version is Version.V1:
            return None
        content = UserBroadcast(self.event, self.data or b"", is_json=False)
        return render_user_broadcast(topic, content, meta)


class Replayer:
    """Reads stored broadcasts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch(self, sub_topic: str, params: Any) -> list[Replayed]:
        """Return the newest stored messages of a private topic, oldest first.

        Args:
            sub_topic: topic without prefix.
            params: the client's ``{since, limit}``: Unix milliseconds, 1 to 25 (25 when absent).

        Raises:
            JoinRefusedError: bad parameters, or the database failed.
        """
        since, limit = _parse_params(params)
        try:
            async with self._database.connection() as connection:
                rows = await connection.fetch(_QUERY, sub_topic, since, limit)
        except (*CONNECTION_ERRORS, asyncpg.PostgresError) as error:
            raise JoinRefusedError(
                "UnableToReplayMessages: Realtime was unable to replay messages"
            ) from error
        return [
            Replayed(sub_topic, row["event"], row["id"], row["payload"], row["binary_payload"])
            for row in reversed(rows)
        ]


def _parse_params(params: Any) -> tuple[datetime, int]:
    refusal = JoinRefusedError("UnableToReplayMessages: Replay params are not valid")
    if not isinstance(params, dict):
        raise refusal
    since_ms, limit = params.get("since"), params.get("limit", _MAX_ROWS)
    if not _is_int(since_ms) or not _is_int(limit) or since_ms is None:
        raise refusal
    try:
        since = datetime.fromtimestamp(since_ms / 1000, UTC).replace(tzinfo=None)
    except (OverflowError, ValueError, OSError) as error:
        raise refusal from error
    return since, max(1, min(_MAX_ROWS, limit))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
