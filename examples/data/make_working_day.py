"""Make working_day.jsonl: one day of a field-service company, as staff actions. Deterministic.

usage: python examples/data/make_working_day.py          # writes working_day.jsonl beside this file

One line is one action:

    {"seq": 12, "at_s": 1830, "staff": "agent-1", "action": "create_job", "customer": 7,
     "ref": "job-003", "of": null, "fields": {"title": "…", "scheduled_start": "…", …}}

* `at_s`: seconds since the day began at 08:00. `staff`: one of five people at work, each with their
  own session; the word before the dash is their role and their login (agent@crm.example …).
* `customer`: a number i of the demo data (1…25 are looking at their portal during the demo, nobody
  looks at 26…200), or the `ref` of a customer made earlier that day.
* `ref` names the row an action makes; `of` names the row an earlier action of the same person made.
  All edits of a row are made by one person, in order, so that five people at once always leave the
  same rows behind.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

SEED = 20260914
DAY = date(2026, 9, 14)
DAY_LENGTH_S = 9 * 3600
STAFF = ("agent-1", "agent-2", "manager-1", "manager-2", "admin-1")
CONNECTED = 25
CUSTOMERS = 200
VISITS = 40
MESSAGES = 72
PROFILE_EDITS = 28
NEW_CUSTOMERS = 8

WORK = (
    ("Boiler service", "Annual service, flue gas reading and pressure check.", 9500),
    ("Leaking tap in the kitchen", "Replace cartridge and seals of the mixer tap.", 6200),
    (
        "Heat pump inspection",
        "Check refrigerant circuit, clean filters, read the error log.",
        14900,
    ),
    ("Radiator does not get warm", "Bleed, balance and check the thermostatic valve.", 7800),
    ("New shower fitting", "Remove the old fitting, mount thermostat mixer and rail.", 18900),
    ("Drain blocked", "Clear with the spiral, camera inspection if it comes back.", 11200),
    ("Smoke detectors", "Mount four detectors, test them, hand over the log book.", 8400),
    ("Water softener refill", "Refill salt, measure hardness, set the next date.", 4900),
    ("Solar inverter fault", "Read out the inverter, check string voltages.", 16500),
    ("Underfloor heating flush", "Flush five circuits and refill with treated water.", 32000),
)
PARTS = (
    ("Seal kit", 1450),
    ("Thermostatic valve", 3890),
    ("Filter cartridge", 2275),
    ("Salt, 25 kg", 1190),
    ("Copper pipe 15 mm, per metre", 980),
    ("Mixer cartridge", 4120),
    ("Smoke detector", 3150),
    ("Call-out", 3900),
)
STREETS = (
    "Mill Lane",
    "Harbour Street",
    "Birch Road",
    "Church Hill",
    "Station Road",
    "Orchard Way",
    "Quay Side",
)
FIRST = (
    "Nora",
    "Elias",
    "Maja",
    "Jonas",
    "Ida",
    "Oskar",
    "Lena",
    "Théo",
    "Zoë",
    "Paweł",
    "Aoife",
    "Mehmet",
)
LAST = (
    "Berg",
    "Lind",
    "Okafor",
    "Novák",
    "Keller",
    "Moreau",
    "O’Neill",
    "Santos",
    "Yılmaz",
    "Haas",
)
BRANCHES = ("north", "south", "harbour")
BEFORE_VISIT = (
    "Good morning! We have put {title} into the calendar for you.",
    "{title}: does the time we entered suit you? Just answer here.",
    "We will need about an hour for “{title}”. Please keep the cellar door clear.",
)
ON_THE_WAY = (
    "Our technician is on the way and should be with you in 20 minutes.",
    "Running ten minutes late because of the roadworks at Station Road. Sorry!",
    "We have left the depot. You can follow the job here.",
)
AFTER_VISIT = (
    "All done. Thank you for the coffee! The invoice follows.",
    "Finished; everything is tight and tested. Call us if anything drips.",
    "Done for today. The old part is beside the meter in case you want to see it.",
)
SMALL_TALK = (
    "The spare part has arrived. When may we come?",
    "Your maintenance contract runs out next month. Shall we renew it?",
    "Thank you for the photo, that helps: it is the 15 mm valve.",
    "Could you send us the serial number on the side of the unit?",
    "We have noted the new gate code.",
    "The manufacturer says eight to ten days. We will write again when we know more.",
    "Yes, Thursday at 14:00 works for us 👍",
    "Please switch the pump off until we have been there.\nIt is the grey switch, top left.",
)
REWARDS = (
    ("Paid within a week", 25),
    ("Booked online", 10),
    ("Recommended us to a neighbour", 100),
    ("Ten years with us", 250),
)


@dataclass
class Day:
    """The actions collected so far, and the names given to rows."""

    random: random.Random
    actions: list[tuple[float, int, dict[str, Any]]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def name(self, kind: str) -> str:
        """Return the next name for a row of this kind, such as job-001."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        return f"{kind}-{self.counts[kind]:03d}"

    def add(
        self,
        at_s: float,
        staff: str,
        action: str,
        customer: int | str,
        *,
        ref: str | None = None,
        of: str | None = None,
        **fields: Any,
    ) -> None:
        """Note one action; the position keeps the order of equal times."""
        line = {
            "staff": staff,
            "action": action,
            "customer": customer,
            "ref": ref,
            "of": of,
            "fields": fields,
        }
        self.actions.append((at_s, len(self.actions), line))

    def customer(self) -> int:
        """Pick a customer: mostly one who is looking."""
        if self.random.random() < 0.86:
            return self.random.randint(1, CONNECTED)
        return self.random.randint(CONNECTED + 1, CUSTOMERS)

    def address(self) -> str:
        """Make up an address."""
        return f"{self.random.randint(1, 140)} {self.random.choice(STREETS)}"


def clock(days: int, hour: int, minute: int = 0) -> str:
    """Return an instant some days after the day, as ISO 8601 in UTC."""
    at = datetime(DAY.year, DAY.month, DAY.day, hour, minute, tzinfo=UTC) + timedelta(days=days)
    return at.isoformat()


def owner_of(customer: int) -> str:
    """Return the one member of staff who edits this customer's own record and points."""
    return STAFF[customer % len(STAFF)]


def add_visit(day: Day, staff: str, customer: int | str, start_s: float) -> None:
    """Add the story of one visit, from the first message to the points for paying."""
    pick = day.random
    title, description, price_cents = pick.choice(WORK)
    job, at_s = day.name("job"), start_s

    def later(longest_minutes: int) -> float:
        nonlocal at_s
        at_s += pick.uniform(2, longest_minutes) * 60
        return at_s

    hour = pick.randint(8, 15)
    day.add(
        at_s,
        staff,
        "create_job",
        customer,
        ref=job,
        title=title,
        description=description,
        address=day.address(),
        scheduled_start=clock(0, hour),
        scheduled_end=clock(0, hour + 1),
    )
    if pick.random() < 0.4:
        day.add(
            later(20),
            staff,
            "post_message",
            customer,
            body=pick.choice(BEFORE_VISIT).format(title=title),
        )
    if pick.random() < 0.5:
        hour, minute = pick.randint(8, 15), pick.choice((0, 15, 30, 45))
        day.add(
            later(60),
            staff,
            "reschedule_job",
            customer,
            of=job,
            scheduled_start=clock(1, hour, minute),
            scheduled_end=clock(1, hour + 2, minute),
        )
    if pick.random() < 0.12:
        return
    if pick.random() < 0.4:
        day.add(later(30), staff, "post_message", customer, body=pick.choice(ON_THE_WAY))
    day.add(later(20), staff, "start_job", customer, of=job)
    day.add(later(90), staff, "complete_job", customer, of=job)
    if pick.random() < 0.4:
        day.add(later(10), staff, "post_message", customer, body=pick.choice(AFTER_VISIT))
    add_invoice(day, staff, customer, job, (title, price_cents), later)


def add_invoice(
    day: Day, staff: str, customer: int | str, job: str, work: tuple[str, int], later: Any
) -> None:
    """Add draft, sending, payment and points; some invoices stay a draft, some stay unpaid."""
    pick = day.random
    invoice = day.name("invoice")
    items = [{"description": work[0], "quantity": 1, "unit_price_cents": work[1]}]
    for description, price_cents in pick.sample(PARTS, pick.randint(0, 3)):
        items.append(
            {
                "description": description,
                "quantity": pick.randint(1, 4),
                "unit_price_cents": price_cents,
            }
        )
    day.add(
        later(30),
        staff,
        "create_invoice",
        customer,
        ref=invoice,
        job=job,
        currency="EUR",
        due_on=(DAY + timedelta(days=14)).isoformat(),
        items=items,
    )
    if pick.random() < 0.1:
        return
    day.add(later(15), staff, "send_invoice", customer, of=invoice)
    if pick.random() < 0.3:
        return
    day.add(later(60), staff, "pay_invoice", customer, of=invoice)
    # Points go only where one person keeps the ledger: its running balance depends on the order.
    if isinstance(customer, str) or owner_of(customer) == staff:
        reason, points = pick.choice(REWARDS)
        day.add(later(5), staff, "award_points", customer, points=points, reason=reason)


def add_profile_edit(day: Day, at_s: float) -> None:
    """Add an edit of a customer's own record, by the person who keeps it."""
    pick, customer = day.random, day.customer()
    fields: dict[str, Any] = pick.choice(
        (
            {"phone": f"+44 20 7946 {pick.randint(0, 999):04d}"},
            {"address": day.address()},
            {"branch": pick.choice(BRANCHES), "phone": f"+44 20 7946 {pick.randint(0, 999):04d}"},
            {
                "preferences": {
                    "contact": pick.choice(("portal", "phone", "e-mail")),
                    "newsletter": pick.random() < 0.5,
                }
            },
        )
    )
    day.add(at_s, owner_of(customer), "update_customer", customer, **fields)


def add_points(day: Day, at_s: float) -> None:
    """Add points for a reason that is no invoice."""
    customer = day.customer()
    reason, points = day.random.choice(REWARDS)
    day.add(at_s, owner_of(customer), "award_points", customer, points=points, reason=reason)


def add_new_customer(day: Day, at_s: float) -> None:
    """Add a new customer, and mostly their first visit."""
    pick, ref = day.random, day.name("customer")
    staff = pick.choice(STAFF)
    first, last = pick.choice(FIRST), pick.choice(LAST)
    day.add(
        at_s,
        staff,
        "create_customer",
        ref,
        ref=ref,
        name=f"{first} {last}",
        email=f"{ref}@example.net",
        phone=f"+44 20 7946 {pick.randint(0, 999):04d}",
        address=day.address(),
        branch=pick.choice(BRANCHES),
    )
    if pick.random() < 0.6:
        add_visit(day, staff, ref, at_s + pick.uniform(120, 1800))


def make_day(seed: int = SEED) -> list[dict[str, Any]]:
    """Return the day's actions in order of time."""
    day = Day(random.Random(seed))
    pick = day.random
    last_start_s = DAY_LENGTH_S - 3 * 3600
    for _ in range(VISITS):
        add_visit(day, pick.choice(STAFF), day.customer(), pick.uniform(0, last_start_s))
    for _ in range(NEW_CUSTOMERS):
        add_new_customer(day, pick.uniform(0, last_start_s))
    for _ in range(MESSAGES):
        day.add(
            pick.uniform(0, DAY_LENGTH_S),
            pick.choice(STAFF),
            "post_message",
            day.customer(),
            body=pick.choice(SMALL_TALK),
        )
    for _ in range(PROFILE_EDITS):
        add_profile_edit(day, pick.uniform(0, DAY_LENGTH_S))
        add_points(day, pick.uniform(0, DAY_LENGTH_S))
    ordered = sorted(day.actions, key=lambda entry: entry[:2])
    return [
        {"seq": seq, "at_s": round(at_s), **line}
        for seq, (at_s, _, line) in enumerate(ordered, start=1)
    ]


def render(actions: list[dict[str, Any]]) -> str:
    """Return the actions as JSON lines."""
    return "".join(json.dumps(action, ensure_ascii=False) + "\n" for action in actions)


if __name__ == "__main__":
    target = Path(__file__).with_name("working_day.jsonl")
    day_actions = make_day()
    target.write_text(render(day_actions), encoding="utf-8")
    print(f"{target}: {len(day_actions)} actions")
