"""Sending one change to everybody who may see it: one frame per channel and select list."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from local_stack.realtime.changes.catalog import Catalog
from local_stack.realtime.changes.change import Change
from local_stack.realtime.changes.payload import encode_change, render_error
from local_stack.realtime.changes.subscriptions import Subscription
from local_stack.realtime.changes.visibility import find_audience
from local_stack.realtime.database import Connections
from local_stack.realtime.wire import dump_json

if TYPE_CHECKING:
    from local_stack.realtime.channel import Channel

_EVENT = "postgres_changes"


async def deliver(
    database: Connections,
    catalog: Catalog,
    change: Change,
    subscriptions: Iterable[Subscription],
    *,
    max_bytes: int,
) -> int:
    """Send a change and return how many subscriptions it reached; raises asyncpg errors."""
    table = await catalog.table(change.relation)
    audience = await find_audience(database, table, change, subscriptions)
    for subscription, error in audience.refused:
        _send(change, [subscription], render_error(change, error))
    if not audience.seers:
        return len(audience.refused)
    encoded = await encode_change(database, table, change, max_bytes=max_bytes)
    rendered: dict[tuple[str, frozenset[str] | None], str] = {}
    for group in _group(audience.seers):
        first = group[0]
        shape = (first.role, first.select)
        if shape not in rendered:
            rendered[shape] = encoded.render(*shape)
        _send(change, group, rendered[shape])
    return len(audience.seers) + len(audience.refused)


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
