"""`portalctl watch`: one line per change of the customer who signed in, and of nobody else."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import asyncpg
import pytest

from tests.integration.portalctl.database_cli import Run, runner
from tests.support.personas import CUSTOMER_A, CUSTOMER_B, PASSWORD

if TYPE_CHECKING:
    from tests.support.stack_thread import StackThread


@pytest.fixture
def run(
    stack: StackThread, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    monkeypatch.setenv("SUPABASE_URL", stack.api_url)
    monkeypatch.setenv("SUPABASE_PUBLISHABLE_KEY", stack.keys.publishable)
    monkeypatch.setenv("PORTAL_PASSWORD", PASSWORD)
    monkeypatch.delenv("PORTAL_EMAIL", raising=False)
    return runner(capsys)


@pytest.fixture
def busy_staff(stack: StackThread) -> Iterator[None]:
    """Somebody who writes to customers A and B, a few times a second, and takes it back."""
    stop = threading.Event()

    both = [CUSTOMER_A.customer, CUSTOMER_B.customer]

    async def write() -> None:
        connection = await asyncpg.connect(stack.database_url)
        try:
            while not stop.wait(0.2):
                await connection.execute(
                    "update jobs set title = title || '!' where customer_id = any ($1::uuid[])",
                    both,
                )
        finally:
            await connection.execute(
                "update jobs set title = rtrim(title, '!') where customer_id = any ($1::uuid[])",
                both,
            )
            await connection.close()

    writer = threading.Thread(target=lambda: asyncio.run(write()))
    writer.start()
    yield
    stop.set()
    writer.join()


@pytest.mark.usefixtures("busy_staff")
def test_changes_of_the_customer_who_signed_in_are_told(run: Run, stack: StackThread) -> None:
    answer = run("watch", "--email", str(CUSTOMER_A.email), "--count", "3", "--json")
    assert answer.code == 0, answer.err
    lines = [json.loads(line) for line in answer.out.splitlines()]
    changes = [line for line in lines if "table" in line]
    assert "connecting" in {line.get("status") for line in lines}
    assert [(change["table"], change["changed"]) for change in changes] == [("jobs", ["title"])] * 3
    assert [change["n"] for change in changes] == [changes[0]["n"] + i for i in range(3)]
    assert {change["id"] for change in changes} <= asyncio.run(own_jobs(stack))


async def own_jobs(stack: StackThread) -> set[str]:
    connection = await asyncpg.connect(stack.database_url)
    try:
        rows = await connection.fetch(
            "select id::text from jobs where customer_id = $1", CUSTOMER_A.customer
        )
    finally:
        await connection.close()
    return {row["id"] for row in rows}


@pytest.mark.usefixtures("busy_staff")
def test_people_read_what_changed_and_how_fresh_it_is(run: Run) -> None:
    answer = run("watch", "--email", str(CUSTOMER_A.email), "--count", "1")
    assert answer.code == 0, answer.err
    assert answer.out.startswith("update jobs ")
    assert "title [" in answer.out
    assert "connecting" in answer.err


def test_who_cannot_be_watched_is_told_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("watch").code == 2
    monkeypatch.setenv("PORTAL_PASSWORD", "wrong")
    refused = run("watch", "--email", str(CUSTOMER_A.email))
    assert (refused.code, "refused" in refused.err) == (1, True)
