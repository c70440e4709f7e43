"""Read the matrix of expectations and the statements that it is about."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
VERBS = ("select", "insert", "update", "delete")

# What each word in matrix.csv promises: SQLSTATE and the start of the message.
REFUSALS: Mapping[str, tuple[str, str]] = {
    "grant": ("42501", r"permission denied for table {table}$"),
    "policy": ("42501", r'new row violates row-level security policy for table "{table}"$'),
    "guard": ("42501", r"a customer may not set {table}\."),
    "keep": ("42501", r"{table}\.customer_id cannot be changed$"),
    "role": ("42501", r"(agent|customer) may not move "),
    "state": (
        "23514",
        r"(job cannot go|invoice cannot go|a \w+ invoice is frozen|an invoice starts as a draft"
        r"|the items of a \w+ invoice are frozen|a message that was read stays read"
        r"|the balance of \d+ points does not cover)",
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One line of matrix.csv with its statement; `expected` maps persona to word."""

    table: str
    verb: str
    row_class: str
    expected: Mapping[str, str]
    statement: str

    def __str__(self) -> str:
        return f"{self.table}-{self.verb}-{self.row_class}"


def read_statements() -> dict[str, str]:
    """Return the statements of statements.sql by name."""
    text = (HERE / "statements.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- name: (.+)$", text, flags=re.MULTILINE)[1:]
    return {name: sql.strip() for name, sql in zip(parts[::2], parts[1::2], strict=True)}


def read_lines() -> list[dict[str, str]]:
    """Return the lines of matrix.csv."""
    with (HERE / "matrix.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_cases() -> list[Case]:
    """Join lines and statements; a line without a statement is an error."""
    statements = read_statements()
    return [
        Case(
            line["table"],
            line["verb"],
            line["row_class"],
            {
                persona: word
                for persona, word in line.items()
                if persona not in {"table", "verb", "row_class"}
            },
            statements[f"{line['table']} {line['verb']} {line['row_class']}"],
        )
        for line in read_lines()
    ]
