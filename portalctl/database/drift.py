"""Compare security states. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from portalctl.database.security import FILE_KINDS, Fact

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True, order=True)
class Difference:
    """A fact that one side has and the other has not.

    Attributes:
        fact: The fact.
        only_in: The side that has it.
        missing_in: The side that lacks it.
    """

    fact: Fact
    only_in: str
    missing_in: str

    def __str__(self) -> str:
        return f"{self.fact} [only in {self.only_in}, not in {self.missing_in}]"


def compare(
    left: Iterable[Fact], right: Iterable[Fact], left_name: str, right_name: str
) -> list[Difference]:
    """Return what differs, ordered by subject within kind."""
    one, other = frozenset(left), frozenset(right)
    found = [Difference(fact, left_name, right_name) for fact in one - other]
    found += [Difference(fact, right_name, left_name) for fact in other - one]
    return sorted(found)


def of_files(facts: Iterable[Fact]) -> frozenset[Fact]:
    """Return the facts that `rls_policies/` is to hold: those about tables of the API."""
    return frozenset(
        fact
        for fact in facts
        if fact.kind in FILE_KINDS and not fact.subject.startswith("private.")
    )


def file_of(subject: str) -> str:
    """Return the name of the policy file of a table: `public.jobs` → `jobs.sql`."""
    schema, _, table = subject.partition(".")
    return f"{table}.sql" if schema == "public" else f"{schema}_{table}.sql"
