"""Say in plain words which constraint a value breaks; pure.

PostgreSQL names tables and constraints, which is nothing to show to a person. Its messages may be
in another language (``lc_messages``): those are passed on as they are.
"""

import re

_FOREIGN_KEY = re.compile(r'^insert or update on table "(\w+)" violates foreign key .*"(\w+)_fkey"')
_UNIQUE = re.compile(r'violates unique constraint "(\w+)"')
_ROW = re.compile(r"(\w+): ([0-9a-f-]{36})")
_CHECK = re.compile(r'violates check constraint "(\w+)"')
# What a row of a table is.
_ROWS = {
    "customers": "customer",
    "jobs": "job",
    "invoices": "invoice",
    "messages": "message",
    "staff": "member of staff",
}
# What our own trigger says, with SQLSTATE 23503, of a new row for a deleted customer.
DELETED_CUSTOMER = "the customer is deleted"
# What our own functions say, with SQLSTATE PT409, of a change of a deleted row.
_DELETED_ROW = "the row is deleted"
# What the row is that a column names.
_NAMED = {
    "customer_id": "customer",
    "job_id": "job",
    "invoice_id": "invoice",
    "assigned_to": "member of staff",
    "staff_id": "member of staff",
    "author_id": "member of staff",
    "user_id": "sign-in",
    "portal_user_id": "sign-in",
}


def explain_unknown_reference(message: str) -> str | None:
    """Say which row does not exist; None if PostgreSQL did not write the message.

    Args:
        message: Of an error with SQLSTATE 23503.
    """
    found = _FOREIGN_KEY.match(message)
    if found is None:
        return None
    table, constraint = found.groups()
    column = constraint.removeprefix(f"{table}_")
    if (table, column) == ("lead_notes", "customer_id"):
        return "This customer is no lead, or there is no such customer."
    noun = _NAMED.get(column, "row")
    return f"There is no {noun} with the id given as {column}."


def explain_no_row(message: str, detail: str) -> str | None:
    """Say which row does not exist; None if it was something else that does not.

    Args:
        message: Of an error with SQLSTATE PT404.
        detail: Of the same.
    """
    found = _ROW.fullmatch(detail)
    if message != "no such row" or found is None:
        return None
    return f"There is no {_ROWS.get(found[1], 'row')} with this id."


def explain_deleted(message: str, detail: str) -> str | None:
    """Say which row is deleted, and how to go on with it; None if it was something else.

    Args:
        message: Of an error with SQLSTATE PT409.
        detail: Of the same; empty where it is not known.
    """
    if message != _DELETED_ROW:
        return None
    found = _ROW.fullmatch(detail)
    if found is None:
        return "This row was deleted. To go on with it, put it back first."
    return explain_deleted_row(*found.groups())


def explain_deleted_row(table: str, row_id: str) -> str:
    """Say that a row is deleted, and how to go on with it."""
    return (
        f"This {_ROWS.get(table, 'row')} was deleted. To go on with it, put it back first: "
        f"POST /v1/history/{table}/{row_id}/restore."
    )


def explain_taken(message: str) -> str | None:
    """Say what is taken; None if PostgreSQL did not write the message.

    Args:
        message: Of an error with SQLSTATE 23505.
    """
    found = _UNIQUE.search(message)
    if found is None:
        return None
    table, is_id, _ = found[1].rpartition("_pkey")
    if is_id:
        return f"The id belongs to another row of {table}. Choose a new one."
    return f"Another row has the same value already, and it must be unique ({found[1]})."


def explain_check(message: str) -> str | None:
    """Say which rule a value breaks; None if PostgreSQL did not write the message.

    Args:
        message: Of an error with SQLSTATE 23514.
    """
    found = _CHECK.search(message)
    return None if found is None else f"A value does not fit the rule {found[1]}."


__all__ = [
    "DELETED_CUSTOMER",
    "explain_check",
    "explain_deleted",
    "explain_deleted_row",
    "explain_no_row",
    "explain_taken",
    "explain_unknown_reference",
]
