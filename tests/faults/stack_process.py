"""A stack in a process of its own, for scenarios that keep the tests' process busy by themselves.

In one process, Python would hand its lock from the portals' thread to the stack's and back at every
system call; what is measured then is that.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

from local_stack.keys import ProjectKeys
from tests.faults.programs import open_folder, running_module


@dataclass(frozen=True)
class StackProcess:
    """Where it is, and its keys."""

    api_url: str
    database_url: str
    keys: ProjectKeys


@contextlib.asynccontextmanager
async def stack_process() -> AsyncIterator[StackProcess]:
    """Run `portalctl up` on a folder that is gone afterwards."""
    with open_folder() as folder:
        options = ("--json", "--port", "0", "--db-port", "0", "--log-level", "warning")
        up = ("portalctl", "up", "--data", str(folder / "stack"), *options)
        async with running_module(*up, is_quiet=True) as (_process, line):
            facts = json.loads(line)
            keys = ProjectKeys.load(folder / "stack" / "keys.json")
            yield StackProcess(facts["api_url"], facts["env"]["SUPABASE_DB_URL"], keys)
