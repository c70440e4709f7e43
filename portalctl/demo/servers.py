"""The demo's two servers, and what it takes to reach them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from portalctl.demo.processes import ServerProcess

_STACK_START_S: Final = 120.0
_SERVICE_START_S: Final = 60.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Project:
    """Where the stack is, and the keys it accepts."""

    url: str
    publishable_key: str
    database_url: str


@asynccontextmanager
async def stack_server(folder: Path) -> AsyncIterator[tuple[ServerProcess, Project]]:
    """Run a stack of the demo's own: free ports, demo data, forgotten at the end.

    Raises:
        ProcessFailedError: It did not start.
    """
    command = (
        "portalctl",
        "up",
        "--ephemeral",
        "--json",
        "--port",
        "0",
        "--db-port",
        "0",
    )
    async with ServerProcess("local stack", command, {}, folder) as process:
        line = await process.announced(r"^(\{.*\})$", _STACK_START_S)
        variables: dict[str, str] = json.loads(line)["env"]
        yield (
            process,
            Project(
                url=variables["SUPABASE_URL"],
                publishable_key=variables["SUPABASE_PUBLISHABLE_KEY"],
                database_url=variables["SUPABASE_DB_URL"],
            ),
        )


@asynccontextmanager
async def crm_server(
    folder: Path, project: Project, through_url: str
) -> AsyncIterator[tuple[ServerProcess, str]]:
    """Run the CRM service and yield its process and address once it can serve.

    Args:
        folder: Working folder.
        project: The stack.
        through_url: How the service reaches the stack.

    Raises:
        ProcessFailedError: It did not start, or cannot reach the stack.
    """
    environment = {
        "SUPABASE_URL": through_url,
        "SUPABASE_PUBLISHABLE_KEY": project.publishable_key,
        "SUPABASE_JWT_SECRET": "",
        "CRM_JWT_ISSUER": f"{project.url}/auth/v1",
        "CRM_ENVIRONMENT": "development",
        "CRM_HOST": "127.0.0.1",
        "CRM_PORT": "0",
        "CRM_LOG_LEVEL": "warning",
    }
    async with ServerProcess("CRM service", ("crm_service",), environment, folder) as process:
        url = await process.announced(r"listens on (http://\S+)", _SERVICE_START_S)
        await _until_ready(process, url)
        yield process, url


async def _until_ready(process: ServerProcess, url: str) -> None:
    try:
        async with asyncio.timeout(_SERVICE_START_S), httpx.AsyncClient(trust_env=False) as http:
            while not await _is_ready(http, url):
                if process.exit_status is not None:
                    raise process.failure(f"ended with status {process.exit_status}")
                await asyncio.sleep(_POLL_S)
    except TimeoutError as error:
        raise process.failure(f"was not ready within {_SERVICE_START_S:g} s") from error


async def _is_ready(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/ready")).is_success
    except httpx.HTTPError:
        return False
