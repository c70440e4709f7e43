"""Batches of an import written at once: how many, in which order, and what a break leaves."""

import asyncio
import io
from types import SimpleNamespace
from uuid import UUID

import pytest

from crm_service.errors import UpstreamUnavailableError
from crm_service.imports.rows import find_repeats, make_plan, read_header, read_lines
from crm_service.imports.running import run_import
from tests.support.waiting import eventually

STAFF = UUID("a0000000-0000-4000-8000-000000000003")


class Database:
    """Holds every bulk_write until it is let go; the names of the rows by call."""

    def __init__(self):
        self.caller = SimpleNamespace(subject=SimpleNamespace(user_id=STAFF))
        self.calls = []
        self.waiting = {}
        self.cancelled = 0

    async def call_to_write(self, function, arguments):
        assert function == "bulk_write"
        rows = arguments["rows"]
        self.calls.append([row["name"] for row in rows])
        gate = self.waiting[len(self.calls)] = asyncio.get_running_loop().create_future()
        try:
            await gate
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return [
            {"index": index, "id": row["id"], "version": 1, "status": "created"}
            for index, row in enumerate(rows)
        ]

    async def let_go(self, number, error=None):
        await eventually(lambda: number in self.waiting)
        gate = self.waiting.pop(number)
        if error is None:
            gate.set_result(None)
        else:
            gate.set_exception(error)


def start(database, lines):
    text = io.StringIO("no,name\n" + "".join(lines))
    header = read_header(text)
    plan = make_plan("customers", header, {}, key_header="no", source="s", request_key=None)

    async def consume():
        reports = []
        async for report in run_import(database, read_lines(text, header, plan, {}), dry_run=False):
            reports.append(report.model_copy(deep=True))
        return reports

    return asyncio.create_task(consume())


def numbered(count, start=0):
    return [f"{n},P{n}\n" for n in range(start, start + count)]


async def test_three_batches_are_written_at_once_and_reported_in_order():
    """The fourth waits for the first, even if others are done before."""
    database = Database()
    task = start(database, [*numbered(2000)[:700], "x,y,z\n", *numbered(1300, 700), "z\n"])
    await eventually(lambda: len(database.calls) == 3)
    await database.let_go(3)
    await database.let_go(2)
    await asyncio.sleep(0.01)
    assert len(database.calls) == 3
    await database.let_go(1)
    await database.let_go(4)
    reports = await task
    assert [report.created for report in reports] == [500, 1000, 1500, 2000, 2000]
    assert [report.read for report in reports] == [500, 1001, 1501, 2001, 2002]
    assert [problem.line for problem in reports[-1].problems] == [702, 2003]
    assert sorted(name for call in database.calls for name in call) == sorted(
        f"P{n}" for n in range(2000)
    )


def test_of_lines_about_the_same_row_the_last_one_is_taken():
    """By key, by id in any case, and in each kind; lines without either are never the same."""

    def repeats(kind, content, key_header):
        text = io.StringIO(content)
        header = read_header(text)
        plan = make_plan(kind, header, {}, key_header=key_header, source="s", request_key="k")
        return find_repeats(text, header, plan)

    assert repeats("leads", "no,name\n1,A\n2,B\n 1 ,C\n1,D\n", "no") == {2: 5, 4: 5}
    assert repeats("jobs", f"id,title\n{STAFF},A\n{str(STAFF).upper()},B\n", None) == {2: 3}
    assert repeats("customers", "name\nA\nA\n", None) == {}


async def test_an_outage_ends_the_import_and_leaves_nothing_running():
    """The error of the first batch that failed, when the others have ended."""
    database = Database()
    task = start(database, numbered(1000))
    await database.let_go(1, UpstreamUnavailableError("down", retry_after_s=1))
    await database.let_go(2)
    with pytest.raises(UpstreamUnavailableError):
        await task


async def test_who_goes_away_takes_the_import_along():
    """Nothing is written for somebody who has hung up."""
    database = Database()
    task = start(database, numbered(2000))
    await eventually(lambda: len(database.calls) == 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: database.cancelled == 3)
