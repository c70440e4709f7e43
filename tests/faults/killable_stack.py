"""A stack that is killed in the middle of a customer's write; run by test_killed_api."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from local_stack.config import StackConfig
from local_stack.rest import execute
from local_stack.stack import LocalStack
from tests.support.stack_thread import REPOSITORY

real_fetch = execute._fetch


def kill_at(moment: str) -> None:
    """Die at the first insert of a message: before its commit, or after it and before the reply."""

    async def fetch(connection: Any, statement: Any) -> Any:
        if 'insert into "public"."messages"' not in statement.sql.lower():
            return await real_fetch(connection, statement)
        if moment == "before commit":
            await connection.execute("begin")
        await real_fetch(connection, statement)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    execute._fetch = fetch


async def main(folder: str, api_port: str, moment: str) -> None:
    """Serve until killed."""
    config = StackConfig(data_dir=Path(folder), api_port=int(api_port), project_dir=REPOSITORY)
    async with LocalStack(config) as stack:
        if moment:
            kill_at(moment)
        sys.stdout.write(f"{stack.api_url} {stack.database_url} {stack.keys.publishable}\n")
        sys.stdout.flush()
        await stack.wait_failed()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
