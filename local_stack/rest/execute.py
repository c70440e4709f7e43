"""Runs one rendered request. The only place that holds a connection.

Every request first takes back whatever the one before left on the connection (settings, temporary
tables, locks, cursors), then sets all of role, claims, headers, search path and access mode, in one
round trip; nothing else runs on a connection before that has succeeded, and a connection on which
it failed is cut. So a connection may be handed from one identity to the next. The request's own
statement then is a transaction by itself, or runs inside an explicit one where its outcome decides
about commit or rollback.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any
from weakref import WeakSet

import asyncpg

from local_stack.rest.database_error import LOST, to_rest_error
from local_stack.rest.driver import Connection
from local_stack.rest.errors import RestError
from local_stack.rest.identity import Identity
from local_stack.rest.pool import ConnectionPool
from local_stack.rest.sql import Statement

# Takes back everything that SQL can leave on a session, then sets what the request relies on.
# Bytes, not text: a client encoding that was left would be applied to a text. One parameter for
# all settings, because each costs the server as much as setting one.
_BEGIN = "select _local_stack.begin_request($1::bytea, $2::boolean)"

# What setting a role or its settings is refused with; another connection would refuse it too.
_REFUSED = (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidParameterValueError)


@dataclass(frozen=True, slots=True)
class Session:
    """What a request's statement runs under.

    Attributes:
        may_prepare: The request calls a function that may leave statements prepared by name.
    """

    identity: Identity
    search_path: str
    headers: str
    cookies: str
    method: str
    path: str
    timezone: str
    read_only: bool
    may_prepare: bool
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
        # Where a function may have prepared statements by name: looking for them costs more the
        # more the driver has of its own, so it is done after such requests alone.
        self._with_statements: WeakSet[Connection] = WeakSet()

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
        for attempt in range(self._retry_limit + 1):
            connection = await self._pool.acquire()
            try:
                await _begin(connection, session, deallocate=connection in self._with_statements)
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
                self._with_statements.discard(connection)
                if session.may_prepare:
                    self._with_statements.add(connection)
                return connection
        raise AssertionError  # the loop returns or raises


async def _begin(connection: Connection, session: Session, *, deallocate: bool) -> None:
    identity = session.identity
    settings = {
        "role": identity.role,
        "default_transaction_read_only": "on" if session.read_only else "off",
        "request.jwt.claims": identity.claims,
        "request.headers": session.headers,
        "request.cookies": session.cookies,
        "request.method": session.method,
        "request.path": session.path,
        "timezone": session.timezone,
        "search_path": session.search_path,
        **session.role_settings,
    }
    # Last: under another search path the function's expressions would be planned anew.
    settings["search_path"] = settings.pop("search_path")
    await connection.fetch(_BEGIN, join_settings(settings.items()), deallocate)


def join_settings(settings: Iterable[tuple[str, str]]) -> bytes:
    """Join names and values with a character in front of each that is in none of them.

    A path or a claim may have any character in it, so which one it is is found out.
    """
    texts = [text for pair in settings for text in pair]
    joined = "".join(texts)
    mark = next(each for each in map(chr, count(1)) if each not in joined)
    return "".join(mark + text for text in texts).encode()


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
