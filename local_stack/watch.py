"""What keeps a running stack running: PostgreSQL, the servers, the listener, the disk."""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
from typing import TYPE_CHECKING

from local_stack.errors import FolderError, StackError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from local_stack.listener import Listener
    from local_stack.postgres.cluster import Cluster
    from local_stack.servers import Servers

_log = logging.getLogger("local_stack.watch")

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
DISK_CHECK_S = 5.0
LOW_DISK_BYTES = 100_000_000
DISK_FULL = "No space left on device"


class Watch:
    """Restarts what died and says so; gives up only on what cannot come back by itself.

    Args:
        folder: The stack's folder.
        cluster: PostgreSQL.
        servers: The servers in front of it.
        listener: What accepts connections.
        on_change: Told the current troubles, one sentence each, whenever they change.
    """

    def __init__(
        self,
        folder: Path,
        cluster: Cluster,
        servers: Servers,
        listener: Listener,
        on_change: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._folder = folder
        self._cluster = cluster
        self._servers = servers
        self._listener = listener
        self._on_change = on_change
        self._troubles: dict[str, str] = {}

    async def run(self) -> None:
        """Watch until cancelled.

        Raises:
            StackError: Something is gone for good: the listener, or the database's folder.
        """
        work = (
            self._keep_postgres(),
            self._servers.watch(lambda text: self._tell("servers", text)),
            self._listener.wait_ended(),
            self._watch_disk(),
        )
        tasks = [asyncio.create_task(part, name=f"stack-watch-{n}") for n, part in enumerate(work)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _tell(self, subject: str, text: str | None) -> None:
        if self._troubles.get(subject) == text:
            return
        if text is None:
            del self._troubles[subject]
        else:
            _log.error("%s", text)
            self._troubles[subject] = text
        self._on_change(tuple(self._troubles.values()))

    async def _keep_postgres(self) -> None:
        while True:
            status = await self._cluster.wait_ended()
            how = f"killed by signal {-status}" if status < 0 else f"status {status}"
            self._tell("postgres", f"PostgreSQL ended by itself ({how}); it is restarted.")
            await self._restart_postgres()
            self._tell("postgres", None)
            _log.warning("PostgreSQL runs again on port %d.", self._cluster.port)

    async def _restart_postgres(self) -> None:
        pause_s = FIRST_PAUSE_S
        for attempt in itertools.count(1):
            try:
                await self._cluster.restart()
            except FolderError:
                raise
            except (StackError, OSError) as error:
                first_line = str(error).partition("\n")[0]
                _log.warning("Attempt %d to restart PostgreSQL failed: %s", attempt, first_line)
                self._tell("postgres", self._reason(str(error)))
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            else:
                return

    def _reason(self, error: str) -> str:
        if DISK_FULL in error:
            return (
                f"PostgreSQL cannot run: the disk that holds {self._folder} is full. "
                "Free some space; it is restarted by itself."
            )
        return "PostgreSQL is down and cannot be restarted yet; see postgres.log. Trying again."

    async def _watch_disk(self) -> None:
        while True:
            free_bytes = shutil.disk_usage(self._folder).free
            low = free_bytes < LOW_DISK_BYTES
            text = (
                f"The disk that holds {self._folder} has less than "
                f"{LOW_DISK_BYTES // 1_000_000} MB left. Free some space: a full disk stops writes."
            )
            self._tell("disk", text if low else None)
            await asyncio.sleep(DISK_CHECK_S)
