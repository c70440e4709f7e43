"""Steps that stories about the feed are made of, as SQL on a few rows of a few customers."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

ROWS = 4
CUSTOMERS = 3
Step = tuple[str, int, int]
"""Verb, row, customer."""
VERBS = (
    "add job", "title", "hide", "show", "move", "delete", "draft", "send", "void", "say", "unsay",
    "read", "points", "close", "open", "nothing",
)  # fmt: skip

SHARE = "share of "
"""Before the name of what several may lock at once, while nobody has it alone."""


def clashes(one: set[str], other: set[str]) -> list[str]:
    """Return the locks of two transactions that wait for each other, with repeats."""
    alone = [name for name in one & other if not name.startswith(SHARE)]
    return [
        *alone,
        *(n for n in one if SHARE + n in other),
        *(n for n in other if SHARE + n in one),
    ]


def _ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


@dataclass(slots=True)
class Cast:
    """The customers and the row ids of one story."""

    customers: Sequence[str] = field(default_factory=lambda: _ids(CUSTOMERS))
    rows: Sequence[str] = field(default_factory=lambda: _ids(ROWS))

    def sql(self, step: Step) -> str:
        """Return the statements of a step."""
        verb, row_place, customer_place = step
        row, customer = self.rows[row_place], self.customers[customer_place]
        is_open = f"id = '{customer}' and deleted_at is null"
        there = f"(select id from customers where {is_open})"
        return {
            "add job": f"insert into jobs (id, customer_id, title) select '{row}', id, 'a' "
            f"from customers where {is_open} on conflict do nothing",
            "title": f"update jobs set title = title || '.' where id = '{row}'",
            "hide": f"update jobs set deleted_at = now() where id = '{row}'",
            "show": f"update jobs set deleted_at = null where id = '{row}'",
            "move": f"update jobs set customer_id = '{customer}' where id = '{row}' "
            f"and exists {there}",
            "delete": f"delete from jobs where id = '{row}'",
            "draft": f"insert into invoices (id, customer_id) select '{row}', id from customers "
            f"where {is_open} on conflict do nothing; insert into invoice_items "
            "(invoice_id, customer_id, position, description, unit_price_cents) select id, "
            f"customer_id, 1, 'x', 5 from invoices where id = '{row}' and status = 'draft' "
            "and lines = '[]'",
            "send": f"update invoices set status = 'sent' where id = '{row}' "
            "and status = 'draft' and jsonb_array_length(lines) > 0",
            "void": f"update invoices set status = 'void' where id = '{row}' and status = 'sent'",
            "say": f"insert into messages (id, customer_id, body) select '{row}', id, 'hello' "
            f"from customers where {is_open} on conflict do nothing",
            "unsay": f"update messages set deleted_at = now() where id = '{row}'",
            "read": f"update messages set read_at = coalesce(read_at, now()) where id = '{row}'",
            "points": f"insert into loyalty_transactions (customer_id, points, kind) "
            f"select id, 5, 'award' from customers where {is_open}",
            "close": f"update customers set deleted_at = now() where id = '{customer}'",
            "open": f"update customers set deleted_at = null where id = '{customer}'",
            "erase": f"delete from customers where id = '{customer}'; "
            f"insert into customers (id, name) values ('{customer}', 'again')",
            "immediate": "set constraints all immediate",
            "deferred": "set constraints all deferred",
            "nothing": f"update jobs set title = title where id = '{row}'",
        }[verb]

    def touched(self, step: Step) -> set[str]:
        """Return what a step may lock for the rest of its transaction, besides the feed's own."""
        verb, row_place, customer_place = step
        customer = f"customer {customer_place}"
        if verb in {"close", "open"}:
            return {customer}
        if verb == "points":
            return {f"account {customer_place}", SHARE + customer}
        row = f"row {row_place}"
        if verb in {"add job", "draft", "say", "move"}:
            return {row, SHARE + customer}
        return {row, *(["invoice numbers"] if verb == "send" else [])}
