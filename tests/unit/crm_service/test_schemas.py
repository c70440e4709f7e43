"""Bodies: what is accepted, and what reaches the database."""

from uuid import UUID

import pytest
from pydantic import TypeAdapter, ValidationError

from crm_service.bulk.schemas import BulkRequest
from crm_service.customers.schemas import CustomerCreate, CustomerUpdate
from crm_service.events.rooms import Typing
from crm_service.fields import Instant, Points
from crm_service.history.schemas import Restore
from crm_service.invoices.schemas import InvoiceCreate, InvoiceUpdate
from crm_service.jobs.schemas import JobCreate, JobSchedule
from crm_service.leads.schemas import LeadUpdate
from crm_service.loyalty.schemas import PointsAdjustment
from crm_service.messages.schemas import MessageCreate
from crm_service.staff.schemas import StaffUpdate

CUSTOMER = UUID("c0000000-0000-4000-8000-000000000001")
ITEM = {"description": "Work", "unit_price_cents": 100}


def wrong_fields(model, **values):
    with pytest.raises(ValidationError) as caught:
        model.model_validate_json(model_json(values))
    return {".".join(map(str, entry["loc"])) for entry in caught.value.errors()}


def model_json(values):
    import json

    return json.dumps(values, default=str)


@pytest.mark.parametrize(
    ("model", "values", "fields"),
    [
        (CustomerCreate, {}, {"name"}),
        (CustomerCreate, {"name": "  "}, {"name"}),
        (CustomerCreate, {"name": "a\x00b"}, {"name"}),
        (CustomerCreate, {"name": "x" * 201}, {"name"}),
        (CustomerCreate, {"name": "A", "email": "no at sign"}, {"email"}),
        (CustomerCreate, {"name": "A", "nmae": "typing mistake"}, {"nmae"}),
        (CustomerCreate, {"name": "A", "id": "not-a-uuid"}, {"id"}),
        (CustomerCreate, {"name": "A", "preferences": None}, {"preferences"}),
        (CustomerUpdate, {"version": 1}, {""}),
        (CustomerUpdate, {"name": None}, {"name"}),
        (CustomerUpdate, {"phone": "1", "version": "1"}, {"version"}),
        (CustomerUpdate, {"phone": "1", "version": True}, {"version"}),
        (CustomerUpdate, {"phone": "1", "version": 0}, {"version"}),
        (JobCreate, {"customer_id": CUSTOMER, "title": ""}, {"title"}),
        (
            JobCreate,
            {"customer_id": CUSTOMER, "title": "A", "scheduled_end": "2026-01-01T00:00:00Z"},
            {""},
        ),
        (JobSchedule, {"scheduled_start": "2026-01-01T00:00:00"}, {"scheduled_start"}),
        # Numbers would be seconds since 1970, and a spreadsheet's days are numbers.
        *(
            (JobSchedule, {"scheduled_start": number}, {"scheduled_start"})
            for number in (5, 45992.5, "45992", "45992.5", True)
        ),
        *(
            (InvoiceUpdate, {"due_on": wrong}, {"due_on"})
            for wrong in (
                0,
                "0",
                "2026-12-01T00:00:00",
                "1.12.2026",
                True,
                "1899-12-31",
                "2200-01-01",
            )
        ),
        (StaffUpdate, {"active": 0}, {"active"}),
        (StaffUpdate, {"active": "off"}, {"active"}),
        (BulkRequest, {"items": [{}], "atomic": 1}, {"atomic"}),
        (Typing, {"is_typing": 0}, {"is_typing"}),
        (LeadUpdate, {"conversion_probability": "0.5"}, {"conversion_probability"}),
        (Restore, {"change_id": True}, {"change_id"}),
        (Restore, {"change_id": "5"}, {"change_id"}),
        (InvoiceCreate, {"customer_id": CUSTOMER, "items": []}, {"items"}),
        (
            InvoiceCreate,
            {"customer_id": CUSTOMER, "items": [{**ITEM, "quantity": 0}]},
            {"items.0.quantity"},
        ),
        (
            InvoiceCreate,
            {"customer_id": CUSTOMER, "items": [{**ITEM, "unit_price_cents": 1.5}]},
            {"items.0.unit_price_cents"},
        ),
        # More than the database takes.
        *(
            (InvoiceCreate, {"customer_id": CUSTOMER, "items": [ITEM | many]}, {f"items.0.{name}"})
            for name, many in (
                ("quantity", {"quantity": 10**9}),
                ("unit_price_cents", {"unit_price_cents": 10**9}),
            )
        ),
        (PointsAdjustment, {"customer_id": CUSTOMER, "points": -(10**9) - 1}, {"points"}),
        (CustomerCreate, {"name": "A", "preferences": {"a": "x" * 65_536}}, {"preferences"}),
        (
            InvoiceCreate,
            {"customer_id": CUSTOMER, "currency": "eur", "items": [ITEM]},
            {"currency"},
        ),
        (MessageCreate, {"customer_id": CUSTOMER, "body": " \n"}, {"body"}),
        (MessageCreate, {"customer_id": CUSTOMER, "body": "x" * 10_001}, {"body"}),
        (PointsAdjustment, {"customer_id": CUSTOMER, "points": 0}, {"points"}),
        (PointsAdjustment, {"customer_id": CUSTOMER, "points": 2**63}, {"points"}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_wrong_fields_are_named(model, values, fields):
    """Each wrong field is named, and nothing else."""
    assert wrong_fields(model, **values) == fields


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00Z", "1899-12-31T23:59:59Z", "2200-01-01T00:00:00Z"]
)
def test_instants_outside_any_calendar_of_ours_are_refused(at):
    """PostgreSQL prints years before 1 in a way that no client reads."""
    with pytest.raises(ValidationError):
        TypeAdapter(Instant).validate_python(at)


def test_text_is_no_number():
    """ "5" is not 5."""
    with pytest.raises(ValidationError):
        TypeAdapter(Points).validate_python("5")


def test_only_what_was_sent_is_changed():
    """A field left out stays; a field sent as null is cleared; the version is no column."""
    body = CustomerUpdate.model_validate_json('{"phone": null, "version": 4}')
    assert body.changes() == {"phone": None}
    assert body.version == 4


def test_defaults_are_the_databases():
    """What the client leaves out is left to the database."""
    assert CustomerCreate(name="Ada").columns() == {"name": "Ada"}
    body = InvoiceCreate.model_validate({"customer_id": CUSTOMER, "items": [ITEM]})
    assert body.columns() == {"customer_id": CUSTOMER}
    assert body.item_rows() == [{"description": "Work", "quantity": 1, "unit_price_cents": 100}]


def test_a_job_with_a_start_is_scheduled():
    """The status follows from the body."""
    assert JobCreate(customer_id=CUSTOMER, title="A").columns()["status"] == "requested"
    body = JobCreate.model_validate(
        {"customer_id": CUSTOMER, "title": "A", "scheduled_start": "2026-01-01T08:00:00+01:00"}
    )
    assert body.columns()["status"] == "scheduled"


def test_a_new_time_replaces_both_ends():
    """Moving a job without naming an end must not keep the old end."""
    body = JobSchedule.model_validate({"scheduled_start": "2026-01-01T08:00:00Z", "version": 2})
    assert body.changes() == {"scheduled_start": body.scheduled_start, "scheduled_end": None}
