"""The code of docs/howto about the SDK runs, or at least compiles where it needs a server."""

from __future__ import annotations

import ast
import asyncio
import logging
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from realtime import AsyncRealtimeChannel

from portal_sdk.testing import FakeProject
from tests.support.waiting import eventually

HOWTO = Path(__file__).parents[3] / "docs" / "howto"
PAGES = [
    "views",
    "observability",
    "writes",
    "presence",
    "blocking",
    "testing",
    "staff-live-view",
    "pause",
    "sign-in",
]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (HOWTO / f"{page}.md").read_text(), re.DOTALL)


async def run(code: str, **names: Any) -> None:
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    result = eval(compile(code, "howto", "exec", flags=flags), names)
    if result is not None:
        await result


@pytest.mark.parametrize("page", PAGES)
def test_every_example_is_python(page: str) -> None:
    """Each block compiles inside a coroutine."""
    assert blocks(page)
    for block in blocks(page):
        compile("async def example():\n" + textwrap.indent(block, "    "), page, "exec")


async def test_the_examples_about_writes_run(capsys: Any) -> None:
    """Against a project in memory, in order."""
    project = FakeProject()
    jo = project.add_customer()
    message_id = project.insert(jo, "messages", body="Hello")
    project.insert(jo, "loyalty_transactions", entry_no=1, points=50, balance_after=50)
    async with project.portal(jo) as portal:
        await portal.ready()
        for block in blocks("writes"):
            await run(block, portal=portal, message_id=message_id)
        assert portal.loyalty.balance == 30
    printed = capsys.readouterr().out
    assert "the balance is not enough" in printed
    assert "None True\n" in printed


async def test_the_examples_about_views_and_metrics_run(capsys: Any) -> None:
    project = FakeProject()
    jo = project.add_customer()
    project.insert(jo, "jobs", title="Boiler", status="scheduled")
    project.insert(jo, "jobs", title="Tap", status="completed")
    async with project.portal(jo) as portal:
        await portal.ready()
        await run(blocks("views")[0], portal=portal)
        *about_metrics, about_logs = blocks("observability")
        for block in about_metrics:
            await run(block, portal=portal)
    refusals = logging.getLogger(AsyncRealtimeChannel.__module__)  # says what a join was answered
    level = logging.getLogger("realtime").level
    assert refusals.isEnabledFor(logging.ERROR)
    try:
        await run(about_logs)
        assert not refusals.isEnabledFor(logging.ERROR)
    finally:
        logging.getLogger("realtime").setLevel(level)
    assert capsys.readouterr().out.splitlines() == [
        "1 ['Boiler']",
        "scheduled 1",
        "completed 1",
        "1 0 0",
    ]


async def test_the_example_about_pausing_prints_what_it_says(capsys: Any) -> None:
    """Against a project in memory; the write that was made in between is sent."""
    project = FakeProject()
    jo = project.add_customer()
    for title in ("Boiler", "Tap"):
        project.insert(jo, "jobs", title=title)
    async with project.portal(jo) as portal:
        await portal.ready()
        await run(blocks("pause")[0], portal=portal)
        await eventually(lambda: len(portal.outbox) == 0)
        assert [message["body"] for message in project.rows(jo, "messages")] == ["Back soon"]
    assert capsys.readouterr().out.splitlines() == ["offline 2", "live"]


async def test_the_examples_about_testing_run() -> None:
    """They assert by themselves."""
    first, second = blocks("testing")
    await run(first)
    project = FakeProject()
    code = compile(second, "howto", "exec")
    await asyncio.to_thread(exec, code, {"project": project, "jo": project.add_customer()})
