"""Runs one rendered request. The only place that holds a connection.

Every request first takes back whatever the one before left on the connection (settings, temporary
tables, locks, cursors), then sets all of role, claims, headers, search path and access mode;
nothing else runs on a connection before both have succeeded, and a connection on which one of them
failed is cut. So a connection may be handed from one identity to the next. The request's own
statement then is a transaction by itself, or runs inside an explicit one where its outcome decides
about commit or rollback.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from local_stack.rest.database_error import LOST, to_rest_error
from local_stack.rest.driver import Connection
from local_stack.rest.errors import RestError
from local_stack.rest.identity import Identity
from local_stack.rest.pool import ConnectionPool
from local_stack.rest.sql import Statement

_FIXED = (
    "search_path",
    "role",
    "default_transaction_read_only",
    "request.jwt.claims",
    "request.headers",
    "request.cookies",
    "request.method",
    "request.path",
    "timezone",
)
# Everything that SQL can leave on a session except prepared statements, which are the driver's.
# "reset all" comes first: a limit on time or locks that was left must not stop the rest.
_RESET = "reset all; close all; unlisten *; discard temp; discard sequences"
# With the settings, because that statement is prepared; the others cannot be.
_UNLOCK = "pg_catalog.pg_advisory_unlock_all()"


# What setting a role or its settings is refused with; another connection would refuse it too.
_REFUSED = (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError)


@dataclass(frozen=True, slots=True)
class Session:
    """What a request's statement runs under."""

    identity: Identity
    search_path: str
    headers: str
    cookies: str
    method: str
    path: str
    timezone: str
    read_only: bool
    role_settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ResultRow:
    """The single row of every statement (see ``sql.render_plan``)."""

    total: int | None
    rows: int
    body: str | None
    location: list[str] | None
    inserted: int | None
    response_headers: str | None
    response_status: str | None


class Executor:
    """Borrows a connection per request and maps what goes wrong."""

    def __init__(self, pool: ConnectionPool, retry_limit: int) -> None:
        self._pool = pool
        self._retry_limit = retry_limit

    async def run(
        self,
        session: Session,
        statement: Statement,
        *,
        check: Callable[[ResultRow], None],
        decide: bool,
        rollback: bool = False,
    ) -> ResultRow:
        """Run a statement.

        Args:
            session: Identity and settings.
            statement: Text and values.
            check: Raises where the result must not stand.
            decide: Whether ``check`` decides about the commit.
            rollback: Undo even a good result (``Prefer: tx=rollback``).

        Raises:
            DatabaseError: PostgreSQL refused.
            UnavailableError: No connection, or it was lost.
            RestError: From ``check``; nothing was written then.

        Cancellation:
            Safe; the connection is cut, so the server rolls back or had committed already.
        """
        connection = await self._prepared(session)
        try:
            if decide or rollback:
                row = await _in_transaction(connection, statement, check, rollback=rollback)
            else:
                row = await _fetch(connection, statement)
                check(row)
        except RestError:
            self._pool.release(connection)
            raise
        except asyncpg.InvalidSQLStatementNameError as error:
            # A function has deallocated the driver's statements; none of them can be used again.
            self._pool.discard(connection)
            raise to_rest_error(error, is_anonymous=session.identity.is_anonymous) from error
        except asyncpg.PostgresError as error:
            self._pool.release(connection)
            raise to_rest_error(error, is_anonymous=session.identity.is_anonymous) from error
        except LOST as error:
            # The driver's own complaint about a call that it would not send is a bug, no outage.
            was_lost = connection.is_closed() or not isinstance(error, asyncpg.InterfaceError)
            self._pool.discard(connection)
            if not was_lost:
                raise
            raise to_rest_error(error, is_anonymous=session.identity.is_anonymous) from error
        except BaseException:
            self._pool.discard(connection)
            raise
        self._pool.release(connection)
        return row

    async def _prepared(self, session: Session) -> Connection:
        """Borrow a connection, clean it and put the session's settings on it.

        A connection on which that fails has done nothing for this request: it is cut, and another
        one is tried. A role that may not be taken fails everywhere alike and is answered at once.
        """
        settings = _settings(session)
        for attempt in range(self._retry_limit + 1):
            connection = await self._pool.acquire()
            try:
                await connection.execute(_RESET)
                await connection.fetch(_setup_sql(len(settings)), *settings)
            except _REFUSED as error:
                self._pool.release(connection)
                raise to_rest_error(error, is_anonymous=session.identity.is_anonymous) from error
            except (*LOST, asyncpg.PostgresError) as error:
                self._pool.discard(connection)
                if attempt == self._retry_limit:
                    is_anonymous = session.identity.is_anonymous
                    raise to_rest_error(error, is_anonymous=is_anonymous) from error
            except BaseException:
                self._pool.discard(connection)
                raise
            else:
                return connection
        raise AssertionError  # the loop returns or raises


_setup_cache: dict[int, str] = {}


def _setup_sql(count: int) -> str:
    sql = _setup_cache.get(count)
    if sql is None:
        fixed = len(_FIXED)
        parts = [
            f"pg_catalog.set_config('{name}', ${number}::text, false)"
            for number, name in enumerate(_FIXED, start=1)
        ]
        parts += [
            f"pg_catalog.set_config(${number}::text, ${number + 1}::text, false)"
            for number in range(fixed + 1, count, 2)
        ]
        sql = f"select pg_catalog.octet_length(pg_catalog.concat({_UNLOCK}, {', '.join(parts)}))"
        _setup_cache[count] = sql
    return sql


def _settings(session: Session) -> list[str]:
    values = [
        session.search_path,
        session.identity.role,
        "on" if session.read_only else "off",
        session.identity.claims,
        session.headers,
        session.cookies,
        session.method,
        session.path,
        session.timezone,
    ]
    for name, value in session.role_settings.items():
        values += (name, value)
    return values


async def _fetch(connection: Connection, statement: Statement) -> ResultRow:
    # Not fetchrow: it stops the portal after one row, before triggers have run.
    rows: list[Any] = await connection.fetch(statement.sql, *statement.values)
    return ResultRow(*rows[0])


async def _in_transaction(
    connection: Connection,
    statement: Statement,
    check: Callable[[ResultRow], None],
    *,
    rollback: bool,
) -> ResultRow:
    await connection.execute("begin")
    try:
        row = await _fetch(connection, statement)
        check(row)
    except asyncio.CancelledError:
        raise
    except BaseException:
        if not connection.is_closed():
            await connection.execute("rollback")
        raise
    await connection.execute("rollback" if rollback else "commit")
    return row
