"""Sending changes to everybody who may see them: one frame per change, channel and select list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from local_stack.realtime.changes.catalog import Catalog
from local_stack.realtime.changes.change import Change
from local_stack.realtime.changes.payload import EncodedChange, encode_changes, render_error
from local_stack.realtime.changes.subscriptions import Subscription
from local_stack.realtime.changes.visibility import Audience, Candidates, find_audiences
from local_stack.realtime.database import Connections
from local_stack.realtime.wire import dump_json

if TYPE_CHECKING:
    from local_stack.realtime.channel import Channel

_EVENT = "postgres_changes"


async def deliver(
    database: Connections,
    catalog: Catalog,
    changes: Sequence[tuple[Change, list[Subscription]]],
    *,
    max_bytes: int,
) -> int:
    """Send changes in their order and return how many subscriptions they reached, together.

    The database is asked about all of them at once, and nothing is sent before it has answered
    everything: after an error all of it may be tried again.

    Args:
        database: Lends the connection.
        catalog: Facts about their tables.
        changes: Each with those who listen to its table; a table has one description in all.
        max_bytes: Larger changes are told without their large values.

    Raises:
        asyncpg's errors when the database cannot be asked.
    """
    candidates = [
        Candidates(await catalog.table(change.relation), change, subscriptions)
        for change, subscriptions in changes
    ]
    audiences = await find_audiences(database, candidates)
    seen = [
        (each.table, each.change)
        for each, to in zip(candidates, audiences, strict=True)
        if to.seers
    ]
    encoded = iter(await encode_changes(database, seen, max_bytes=max_bytes))
    count = 0
    for each, to in zip(candidates, audiences, strict=True):
        for subscription, error in to.refused:
            _send(each.change, [subscription], render_error(each.change, error))
        if to.seers:
            _send_encoded(next(encoded), to)
        count += len(to.seers) + len(to.refused)
    return count


def _send_encoded(encoded: EncodedChange, audience: Audience) -> None:
    rendered: dict[tuple[str, frozenset[str] | None], str] = {}
    for group in _group(audience.seers):
        first = group[0]
        shape = (first.role, first.select)
        if shape not in rendered:
            rendered[shape] = encoded.render(*shape)
        _send(encoded.change, group, rendered[shape])


def _group(subscriptions: Iterable[Subscription]) -> list[list[Subscription]]:
    groups: dict[tuple[Channel, frozenset[str] | None], list[Subscription]] = {}
    for subscription in subscriptions:
        groups.setdefault((subscription.channel, subscription.select), []).append(subscription)
    return list(groups.values())


def _send(change: Change, group: list[Subscription], data_json: str) -> None:
    channel = group[0].channel
    if group[0].legacy:
        # A join without config gets the bare object under the name of the action.
        channel.send_changes(change.action, data_json)
        return
    ids = dump_json([subscription.binding_id for subscription in reversed(group)])
    channel.send_changes(_EVENT, f'{{"ids":{ids},"data":{data_json}}}')
