"""Who may see a change, where no database is needed to tell."""

import uuid
from contextlib import asynccontextmanager

import pytest

from local_stack.realtime.changes.catalog import ColumnInfo, Table
from local_stack.realtime.changes.change import Change
from local_stack.realtime.changes.filters import Condition
from local_stack.realtime.changes.pgoutput import Relation
from local_stack.realtime.changes.subscriptions import Subscription
from local_stack.realtime.changes.visibility import Candidates, find_audiences

TEXT = 25


class Hanging:
    """A database that lets nobody in."""

    @asynccontextmanager
    async def connection(self):
        raise TimeoutError
        yield


async def test_a_database_that_lets_nobody_in_is_no_filter_that_takes_too_long():
    """The change is tried again; taking the filter for one that is not met would lose it."""
    relation = Relation(1, "public", "notes", "d", ())
    table = Table(relation, (ColumnInfo("body", "text", TEXT, "text", True),), False)
    table.readable["authenticated"] = frozenset({"body"})
    change = Change("INSERT", relation, {"body": "hello"}, {}, 0, 1)
    condition = Condition("body", "match", "h.*o", False)
    listener = Subscription(
        None, 1, uuid.uuid4(), 1, "*", (condition,), None, "authenticated", "{}", False
    )  # fmt: skip
    with pytest.raises(TimeoutError):
        await find_audiences(Hanging(), [Candidates(table, change, [listener])])
