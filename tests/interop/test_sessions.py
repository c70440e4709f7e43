"""The official Python and JavaScript clients do the same and see the same."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests.interop.driver import Driver, running_driver
from tests.interop.script import play, read_script
from tests.support.stack_thread import StackThread

pytestmark = pytest.mark.slow


async def play_with(
    script: str, languages: dict[str, str], project: StackThread, folder: Path
) -> None:
    """Play a script; ``languages`` says which driver each client of the script lives in."""
    known = {
        "url": project.api_url,
        "long_text": "\u00e4 long text. " * 12_000,
        **{
            name: getattr(project.keys, name)
            for name in ("publishable", "secret", "anon", "service_role")
        },
    }

    async def drop_sockets() -> None:
        project.faults.drop_sockets()

    async with contextlib.AsyncExitStack() as running:
        drivers: dict[str, Driver] = {}
        for language in sorted(set(languages.values())):
            drivers[language] = await running.enter_async_context(running_driver(language, folder))
        by_client = {client: drivers[language] for client, language in languages.items()}
        await play(read_script(script), by_client, known, {"drop_sockets": drop_sockets})


@pytest.mark.parametrize(
    ("customer", "agent"),
    [("python", "python"), ("js", "js"), ("python", "js"), ("js", "python")],
)
async def test_a_day_with_the_whole_project(
    project: StackThread, tmp_path: Path, customer: str, agent: str
) -> None:
    """Sign-in, tables, functions, channels and reconnecting, alone and with each other."""
    languages = {"customer": customer, "guest": customer, "agent": agent, "service": agent}
    await play_with("project_session.json", languages, project, tmp_path)


@pytest.mark.parametrize(
    ("device", "office"),
    [("python", "python"), ("js", "js"), ("python", "js")],
)
async def test_the_life_of_a_user(
    project: StackThread, tmp_path: Path, device: str, office: str
) -> None:
    """Sign-up to deletion with the clients of the auth server alone."""
    languages = {"here": device, "there": office, "admin": office, "legacy_admin": device}
    await play_with("auth_session.json", languages, project, tmp_path)
