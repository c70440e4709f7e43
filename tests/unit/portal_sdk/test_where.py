"""`table.where`: values as text are those of the model, and what can equal nothing is refused."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from typing import Any

import pytest

from portal_sdk import ConfigurationError, Invoice, Message
from portal_sdk._core.overlay import Overlay
from portal_sdk._runtime.delivery import Subscribers
from portal_sdk.models import PortalModel
from portal_sdk.tables import LiveTable
from portal_sdk.testing import FakeProject

ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
OWNER = "5f2504e0-4f89-41d3-9a0c-0305e82c3302"
SENT_AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
INVOICE = {
    "id": ID, "version": 3, "customer_id": OWNER, "number": 17, "status": "paid",
    "sent_at": "2026-03-01T09:30:00+00:00", "due_on": "2026-03-31", "colour": "red",
}  # fmt: skip
MESSAGE = {"id": ID, "customer_id": OWNER, "sender": "staff", "body": "Hello"}


def table_of(model: type[PortalModel], *rows: dict[str, Any]) -> LiveTable[Any]:
    overlay = Overlay(lambda: {"rows": {row["id"]: row for row in rows}})
    return LiveTable("rows", model, lambda: overlay, Subscribers(10, set()))


@pytest.mark.parametrize(
    "equals",
    [
        {"id": ID},
        {"id": ID.upper()},
        {"id": uuid.UUID(ID), "customer_id": OWNER},
        {"sent_at": "2026-03-01T09:30:00Z"},
        {"sent_at": "2026-03-01T10:30:00+01:00"},
        {"sent_at": SENT_AT},
        {"due_on": "2026-03-31"},
        {"due_on": date(2026, 3, 31)},
        {"number": "17", "status": "paid"},
        {"paid_at": None},
        {"colour": "red"},
    ],
)
def test_a_value_is_compared_as_the_model_has_it(equals: dict[str, Any]) -> None:
    """UUIDs, times, dates and numbers may be texts, however they are spelled."""
    table = table_of(Invoice, INVOICE)
    assert [record.number for record in table.where(**equals)] == [17]
    other = {**INVOICE, "id": OWNER, "customer_id": ID, "number": 18, "status": "sent"}
    other |= {"sent_at": None, "due_on": None, "paid_at": "2026-04-01T00:00:00Z", "colour": "blue"}
    assert table_of(Invoice, other).where(**equals) == []


@pytest.mark.parametrize(
    ("equals", "advice"),
    [
        ({"id": "not-an-id"}, r"rows\.id cannot be what is asked for: .*UUID"),
        ({"id": 5}, r"rows\.id .*UUID"),
        ({"status": "paid", "sent_at": "last week"}, r"rows\.sent_at .*datetime"),
        ({"sent_at": datetime(2026, 3, 1, 9, 30)}, r"rows\.sent_at .*give the time its zone"),  # noqa: DTZ001
        ({"sent_at": "2026-03-01"}, "its zone"),
        ({"number": "many"}, r"rows\.number .*integer"),
        ({"status": 5}, r"rows\.status .*string"),
    ],
)
def test_a_value_that_nothing_can_equal_is_refused(equals: dict[str, Any], advice: str) -> None:
    """With or without rows; an empty list would say that there is no such row."""
    for rows in ([], [INVOICE]):
        with pytest.raises(ConfigurationError, match=advice) as caught:
            table_of(Invoice, *rows).where(**equals)
        assert "not-an-id" not in str(caught.value)


def test_a_row_of_another_version_is_found_by_what_it_shows() -> None:
    """It does not fit the model, and is shown as it came."""
    odd = {**MESSAGE, "id": OWNER, "sender": "robot", "read_at": "2026-03-01T09:30:00"}
    table = table_of(Message, MESSAGE, odd)
    assert [str(one.id) for one in table.where(sender="robot")] == [OWNER]
    assert [str(one.id) for one in table.where(read_at=datetime(2026, 3, 1, 9, 30))] == [OWNER]  # noqa: DTZ001
    with pytest.raises(ConfigurationError, match=r"rows\.sender .*'staff' or 'customer'"):
        table.where(sender="stuff")
    assert table.where(body=None) == []


async def test_a_column_that_does_not_exist_is_refused_and_a_new_one_is_not() -> None:
    project = FakeProject()
    jo = project.add_customer()
    project.insert(jo, "jobs", title="Boiler", colour="red")
    async with project.portal(jo) as portal:
        await portal.ready()
        assert [job.title for job in portal.jobs.where(colour="red")] == ["Boiler"]
        with pytest.raises(ConfigurationError, match=r"no column 'titel'; there are .*title"):
            portal.jobs.where(titel="Boiler")
        assert portal.invoices.where(anything=1) == []  # no row shows what columns there are
