"""Subscriptions to tables: rows of realtime.subscription and their copy in memory."""

from __future__ import annotations

import json
import uuid
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from local_stack.realtime.changes.bindings import Target
from local_stack.realtime.database import CONNECTION_ERRORS, Database
from local_stack.realtime.errors import NO_DATABASE, SubscriptionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from local_stack.realtime.changes.filters import Condition
    from local_stack.realtime.channel import Channel
    from local_stack.realtime.database import Connection

_INSERT = """
insert into realtime.subscription as s
    (subscription_id, entity, filters, claims, action_filter, selected_columns)
select
    $4::uuid,
    format('%I.%I', p.schemaname, p.tablename)::regclass,
    coalesce(
        (
            select array_agg((f.name, f.op, f.value, f.negate)::realtime.user_defined_filter)
            from jsonb_to_recordset($5::jsonb)
                as f (name text, op realtime.equality_op, value text, negate boolean)
        ),
        '{}'
    ),
    $6::jsonb,
    $7,
    $8::text[]
from pg_publication_tables as p
where p.pubname = $1 and p.schemaname like $2 and p.tablename like $3
on conflict (subscription_id, entity, filters, action_filter, (coalesce(selected_columns, '{}')))
do update set claims = excluded.claims, created_at = timezone('utc', now())
returning s.entity::oid::bigint as entity
"""
_UNABLE = "Unable to subscribe to changes with given parameters. "
_CODE_NAMES = {
    "P0001": "raise_exception",
    "22P02": "invalid_text_representation",
    "22003": "numeric_value_out_of_range",
    "22007": "invalid_datetime_format",
    "22008": "datetime_field_overflow",
    "42704": "undefined_object",
    "42501": "insufficient_privilege",
    "2201B": "invalid_regular_expression",
}


@dataclass(frozen=True, slots=True)
class Subscription:
    """One binding of a channel on one table.

    Attributes:
        claims_json: the claims that row level security sees.
        select: columns asked for; None is every column.
    """

    channel: Channel
    binding_id: int
    subscription_id: uuid.UUID
    entity: int
    action: str
    filters: tuple[Condition, ...]
    select: frozenset[str] | None
    role: str
    claims_json: str
    legacy: bool


class SubscriptionRegistry:
    """The copy in memory. Owner: the changes service; used from the event loop only."""

    def __init__(self) -> None:
        self._by_entity: dict[int, dict[Subscription, None]] = {}
        self._by_channel: dict[Hashable, tuple[Subscription, ...]] = {}

    def replace(self, channel: Channel, subscriptions: Iterable[Subscription]) -> list[uuid.UUID]:
        """Set the subscriptions of a channel and return the ids that it had before."""
        before = self._by_channel.pop(channel, ())
        for subscription in before:
            members = self._by_entity[subscription.entity]
            del members[subscription]
            if not members:
                del self._by_entity[subscription.entity]
        after = tuple(subscriptions)
        if after:
            self._by_channel[channel] = after
        for subscription in after:
            self._by_entity.setdefault(subscription.entity, {})[subscription] = None
        kept = {subscription.subscription_id for subscription in after}
        return [s.subscription_id for s in before if s.subscription_id not in kept]

    def of_entity(self, entity: int) -> list[Subscription]:
        """Return who listens to a table now."""
        return list(self._by_entity.get(entity, ()))

    def has_entity(self, entity: int) -> bool:
        """Return whether anyone listens to a table."""
        return entity in self._by_entity

    def is_empty(self) -> bool:
        """Return whether nobody listens to anything."""
        return not self._by_channel


async def store_subscriptions(
    database: Database, publication: str, channel: Channel, claims: Mapping[str, Any]
) -> list[Subscription]:
    """Insert the rows of every binding of a channel in one transaction.

    Raises:
        SubscriptionError: a binding is malformed, matches no published table, or is refused by the
            database; then nothing is stored.
    """
    targets = [(binding, binding.to_target()) for binding in channel.bindings]
    claims_json = json.dumps(dict(claims))
    subscriptions: list[Subscription] = []
    try:
        async with database.connection() as connection, connection.transaction():
            for binding, target in targets:
                identity = uuid.uuid4()
                entities = await _insert(connection, publication, identity, target, claims_json)
                subscriptions += [
                    Subscription(
                        channel=channel,
                        binding_id=binding.binding_id,
                        subscription_id=identity,
                        entity=entity,
                        action=target.action,
                        filters=target.filters,
                        select=None if target.select is None else frozenset(target.select),
                        role=str(claims.get("role")),
                        claims_json=claims_json,
                        legacy=binding.legacy,
                    )
                    for entity in entities
                ]
    except CONNECTION_ERRORS as error:
        raise SubscriptionError(f'{{:error, "{NO_DATABASE}"}}', retry=True) from error
    return subscriptions


async def _insert(
    connection: Connection,
    publication: str,
    identity: uuid.UUID,
    target: Target,
    claims_json: str,
) -> list[int]:
    filters = [
        {"name": c.column, "op": c.operator, "value": c.value, "negate": c.negate}
        for c in target.filters
    ]
    try:
        rows = await connection.fetch(
            _INSERT,
            publication,
            _pattern(target.schema),
            _pattern(target.table),
            identity,
            json.dumps(filters),
            claims_json,
            target.action,
            None if target.select is None else list(target.select),
        )
    except CONNECTION_ERRORS:
        raise
    except asyncpg.PostgresError as error:
        code = error.sqlstate or "XX000"
        name = _CODE_NAMES.get(code, type(error).__name__)
        raise SubscriptionError(
            f"{_UNABLE}An exception happened so please check your connect parameters: "
            f"{target.describe()}. Exception: ERROR {code} ({name}) {error.args[0]}"
        ) from error
    if not rows:
        raise SubscriptionError(
            f"{_UNABLE}Please check Realtime is enabled for the given connect parameters: "
            f"{target.describe()}"
        )
    return [row["entity"] for row in rows]


def _pattern(name: str) -> str:
    return "%" if name == "*" else name


async def delete_subscriptions(database: Database, ids: list[uuid.UUID]) -> None:
    """Delete rows by subscription id."""
    async with database.connection() as connection:
        await connection.execute(
            "delete from realtime.subscription where subscription_id = any ($1::uuid[])", ids
        )


async def delete_all_subscriptions(database: Database) -> None:
    """Delete the rows that an earlier server left."""
    async with database.connection() as connection:
        await connection.execute("delete from realtime.subscription")
