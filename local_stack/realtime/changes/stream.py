"""The logical replication stream: one temporary slot, pushed into the event loop as it arrives.

Opening blocks (it waits for transactions that are open at that moment) and runs in a thread;
reading never blocks: the loop calls back when the socket has data.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2.extras import LogicalReplicationConnection

log = logging.getLogger(__name__)

_BATCH = 500
# From version 16 on, a walsender reads how far the log is flushed and only then puts itself on the
# list of those to wake. A commit in between wakes nobody, and its changes wait for the next one, or
# half of wal_sender_timeout: 30 s. Whatever the client says makes it look again.
_FEEDBACK_S = 0.1


class ReplicationStream:
    """One connection; ``run`` ends when it is lost."""

    def __init__(
        self,
        dsn: str,
        publications: tuple[str, ...],
        deliver: Callable[[bytes], None],
        is_full: Callable[[], bool],
    ) -> None:
        self._dsn = dsn
        self._is_full = is_full
        self._is_paused = False
        self._publications = publications
        self._deliver = deliver
        self._connection: Any = None
        self._cursor: Any = None
        self._lost: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Connect, make the slot and start streaming.

        Raises:
            psycopg2.Error: the server refuses or is away.
        """
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        connection = psycopg2.connect(
            self._dsn,
            connection_factory=LogicalReplicationConnection,
            application_name="realtime-replication",
            connect_timeout=10,
            options="-c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres "
            "-c bytea_output=hex -c extra_float_digits=1 -c statement_timeout=0",
        )
        try:
            cursor: Any = connection.cursor()
            slot = f"supabase_realtime_{secrets.token_hex(6)}"
            cursor.execute(
                f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
            )
            names = ",".join(f'"{name}"' for name in self._publications)
            cursor.start_replication_expert(
                f"START_REPLICATION SLOT {slot} LOGICAL 0/0 "
                f"(proto_version '1', publication_names '{names}')",
                decode=False,
            )
        except BaseException:
            connection.close()
            raise
        self._connection, self._cursor = connection, cursor

    async def run(self) -> None:
        """Deliver messages until the connection is lost; closes it in any case.

        Raises:
            psycopg2.Error: why the stream ended.
        """
        loop = asyncio.get_running_loop()
        self._lost = loop.create_future()
        descriptor = self._connection.fileno()
        try:
            self.resume()  # data may have arrived while starting
            while True:
                done, _ = await asyncio.wait([self._lost], timeout=_FEEDBACK_S)
                if done:
                    self._lost.result()
                self._confirm()
                self._drain()
        finally:
            loop.remove_reader(descriptor)
            self._lost.cancel()
            self._connection.close()

    def resume(self) -> None:
        """Read on, after a pause or at the start."""
        if self._lost is None or self._lost.done():
            return
        self._is_paused = False
        loop = asyncio.get_running_loop()
        loop.add_reader(self._connection.fileno(), self._drain)
        loop.call_soon(self._drain)

    def _pause(self) -> None:
        self._is_paused = True
        asyncio.get_running_loop().remove_reader(self._connection.fileno())

    def _drain(self) -> None:
        if self._lost is None or self._lost.done() or self._is_paused:
            return
        try:
            for _ in range(_BATCH):
                if self._is_full():
                    self._pause()
                    return
                heard_at = self._cursor.io_timestamp
                message = self._cursor.read_message()
                if message is None:
                    # Also what a keepalive gives; changes may stand behind it in the buffer, and
                    # the socket will not announce them again.
                    if self._cursor.io_timestamp == heard_at:
                        return
                    continue
                self._deliver(message.payload)
        except psycopg2.Error as error:
            self._lost.set_exception(error)
            return
        # More may be buffered than the socket will ever announce again.
        asyncio.get_running_loop().call_soon(self._drain)

    def _confirm(self) -> None:
        """Tell PostgreSQL what may be forgotten, everything that was delivered; it looks again."""
        # Without force, psycopg2 keeps it to itself for ten seconds.
        self._cursor.send_feedback(flush_lsn=self._cursor.wal_end, force=True)
