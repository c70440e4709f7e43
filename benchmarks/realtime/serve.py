"""A Realtime server with its own PostgreSQL in this process, for a benchmark in another one.

Prints one line of JSON (URLs, keys, process id) when it is ready, and stops when stdin ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
import uvloop

from local_stack.auth.tokens import TokenIssuer, TokenVerifier
from local_stack.folder import load_passwords, make_ephemeral
from local_stack.keys import ProjectKeys
from local_stack.postgres.bootstrap import apply_bootstrap
from local_stack.postgres.cluster import Cluster, ClusterConfig
from local_stack.realtime import RealtimeConfig, RealtimeServer
from local_stack.realtime.keepalive import RealtimeWebSocketProtocol
from tests.support.waiting import eventually


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _database() -> AsyncIterator[tuple[str, str]]:
    """A bootstrapped PostgreSQL: URLs of the superuser and of the owner."""
    folder = make_ephemeral()
    passwords = load_passwords(folder)
    config = ClusterConfig(folder / "postgres", passwords["supabase_admin"], durable=True)
    cluster = Cluster(config)
    try:
        await cluster.start()
        await apply_bootstrap(cluster.admin_dsn(), passwords)
        yield cluster.admin_dsn(), cluster.dsn("postgres", passwords["postgres"], "postgres")
    finally:
        await cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def _listening(app: Any) -> AsyncIterator[int]:
    web = _Server(
        uvicorn.Config(
            app,
            host="127.0.0.1",
            port=0,
            log_level="error",
            interface="asgi3",
            lifespan="off",
            ws=RealtimeWebSocketProtocol,
            ws_max_size=5_000_000,
            ws_per_message_deflate=False,
        )
    )
    serving = asyncio.create_task(web.serve())
    await eventually(lambda: web.started)
    try:
        yield web.servers[0].sockets[0].getsockname()[1]
    finally:
        web.should_exit = True
        await serving


async def serve() -> None:
    """Serve until stdin ends."""
    logging.basicConfig(level=logging.WARNING)
    keys = ProjectKeys.generate()
    issuer = TokenIssuer(keys)
    async with _database() as (admin_url, owner_url):
        config = RealtimeConfig(max_queued_bytes=200_000_000)
        server = RealtimeServer(config, TokenVerifier(keys), admin_url)
        await server.start()
        async with _listening(server.app) as port:
            ready = {
                "pid": os.getpid(),
                "port": port,
                "database_url": owner_url,
                "anon": keys.anon,
                "tokens": [
                    issuer.issue({"sub": make_user(n), "role": "authenticated"}, 36_000)
                    for n in range(101)
                ],
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
            await server.stop()


def make_user(number: int) -> str:
    """Return the id of the user with that number."""
    return f"{number:08d}-0000-4000-8000-000000000000"


if __name__ == "__main__":
    uvloop.run(serve())
