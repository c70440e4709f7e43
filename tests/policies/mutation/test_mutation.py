"""Policy mutation testing: every weakening of the database's security is noticed, or has a reason.

`make test` tries a sample; `pytest -m soak tests/policies/mutation` tries every mutant.
"""

from __future__ import annotations

import asyncio
import csv
import fnmatch
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import asyncpg
import pytest

from local_stack.postgres.clones import create_clone
from tests.policies.mutation.judge import every_fault, first_fault
from tests.policies.mutation.mutants import Mutant, all_mutants, swaps
from tests.policies.test_matrix import add_extra_rows
from tests.support.cluster import SEEDED, Database, TestCluster

SAMPLE_STEP = 11
SURVIVORS = Path(__file__).parent / "survivors.csv"


class Laboratory:
    """A baseline that is green, and a copy of it per mutant.

    Args:
        cluster: A server of its own: the copies are made from a database that nobody else uses.
    """

    def __init__(self, cluster: TestCluster) -> None:
        self._cluster = cluster
        self.baseline = cluster.clone(SEEDED, "mutation")
        asyncio.run(add_extra_rows(self.baseline))
        self.mutants = asyncio.run(read_mutants(self.baseline))

    def try_out(self, mutant: Mutant) -> str | None:
        """Return the first expectation that a mutant breaks, None if it survives."""
        database = self._copy()
        try:
            return asyncio.run(mutate_and_judge(database, mutant))
        finally:
            self._cluster.drop(database)

    def _copy(self) -> Database:
        cluster, name = self._cluster, "mutant"
        admin = cluster._connected()
        clone = create_clone(admin, name, self.baseline.name, "postgres", is_durable=False)
        cluster._thread.call(clone)
        url = cluster.url_as("postgres", name)
        return Database(name, url, cluster.url_as("supabase_admin", name), cluster)


async def read_mutants(database: Database) -> list[Mutant]:
    connection = await asyncpg.connect(database.url)
    try:
        return await all_mutants(connection)
    finally:
        await connection.close()


async def mutate_and_judge(database: Database, mutant: Mutant) -> str | None:
    # As superuser: a mutation that is refused would look like one that changed nothing.
    connection = await asyncpg.connect(database.admin_url)
    try:
        await connection.execute(mutant.sql)
    finally:
        await connection.close()
    return await first_fault(database, mutant.table)


@pytest.fixture(scope="module")
def laboratory(new_cluster: Callable[[], TestCluster]) -> Iterator[Laboratory]:
    with new_cluster() as cluster:
        made = Laboratory(cluster)
        faults = asyncio.run(every_fault(made.baseline))
        # On a red baseline every mutant would count as noticed.
        assert faults == [], "the baseline is red; mutation testing would prove nothing"
        yield made


def read_survivors() -> list[dict[str, str]]:
    with SURVIVORS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def reason_for(mutant: Mutant, survivors: Iterable[dict[str, str]]) -> str | None:
    """Return the written reason why a mutant may survive; `*` stands for anything."""
    for line in survivors:
        parts = ((mutant.kind, "kind"), (mutant.table, "table"), (mutant.what, "what"))
        if all(fnmatch.fnmatchcase(value, line[column]) for value, column in parts):
            return line["reason"]
    return None


def unexplained(laboratory: Laboratory, mutants: Iterable[Mutant]) -> list[str]:
    known = read_survivors()
    survived = (mutant for mutant in mutants if laboratory.try_out(mutant) is None)
    return [str(mutant) for mutant in survived if reason_for(mutant, known) is None]


@pytest.mark.slow
def test_a_sample_of_all_mutants_is_noticed(laboratory: Laboratory) -> None:
    sample = [m for m in laboratory.mutants[::SAMPLE_STEP] if not reason_for(m, read_survivors())]
    assert len({mutant.kind.split()[0] for mutant in sample}) >= 5
    assert unexplained(laboratory, sample) == []


@pytest.mark.soak
def test_every_mutant_is_noticed_or_has_a_written_reason(laboratory: Laboratory) -> None:
    assert len(laboratory.mutants) > 300
    assert unexplained(laboratory, laboratory.mutants) == []


@pytest.mark.soak
def test_every_written_reason_is_about_a_mutant_that_survives(laboratory: Laboratory) -> None:
    noticed = []
    for line in read_survivors():
        meant = [mutant for mutant in laboratory.mutants if reason_for(mutant, [line])]
        assert meant, line
        noticed += [str(mutant) for mutant in meant if laboratory.try_out(mutant) is not None]
    assert noticed == [], "these need no reason"


def test_each_operator_is_swapped_once() -> None:
    assert [name for name, _ in swaps("((a AND b) OR c)")] == ["AND→OR #1", "OR→AND #2"]
    assert [sql for _, sql in swaps("((a AND b) OR c)")] == ["((a OR b) OR c)", "((a AND b) AND c)"]
