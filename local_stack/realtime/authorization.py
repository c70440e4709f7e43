"""May these claims read or write on a private topic: asked of the policies on realtime.messages.

Each question inserts probe rows in a transaction that is always rolled back.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from local_stack.realtime.database import CONNECTION_ERRORS, Database
from local_stack.realtime.errors import NO_DATABASE, PermissionCheckError

if TYPE_CHECKING:
    from local_stack.realtime.database import Connection

_PROBE = """
insert into realtime.messages (id, topic, extension, private, inserted_at, updated_at)
values ($1, $2, $3, false, now(), now())
"""
_BECOME = """
select
    set_config('role', $1, true),
    set_config('realtime.topic', $2, true),
    set_config('request.jwt.claims', $3, true),
    set_config('request.jwt.claim.sub', $4, true),
    set_config('request.jwt.claim.role', $1, true),
    set_config('request.headers', $5, true)
"""


@dataclass(frozen=True, slots=True)
class Subject:
    """On whose behalf a question is asked.

    Attributes:
        claims: verified claims; ``role`` becomes the database role.
        headers: the request's headers that policies may look at.
    """

    claims: Mapping[str, Any]
    headers: Mapping[str, str]

    @property
    def role(self) -> str:
        """Name of the database role."""
        return str(self.claims.get("role"))


@dataclass(frozen=True, slots=True)
class Grants:
    """What is allowed on one topic."""

    broadcast: bool
    presence: bool


ALL_GRANTED = Grants(broadcast=True, presence=True)


class Authorizer:
    """Evaluates read and write policies; caches nothing, that is the channel's affair."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, topic: str, subject: Subject, *, presence: bool) -> Grants:
        """Return what the subject may receive on a private topic.

        Args:
            topic: without the ``realtime:`` prefix.
            subject: whose claims and headers the policies see.
            presence: whether presence is asked about; otherwise it is not granted.

        Raises:
            PermissionCheckError: a policy failed, the role is unknown, or the database is away.
        """
        extensions = ["broadcast", "presence"] if presence else ["broadcast"]
        probes = {uuid.uuid4(): extension for extension in extensions}
        async with self._asking(topic) as connection:
            await connection.executemany(
                _PROBE, [(probe, topic, extension) for probe, extension in probes.items()]
            )
            await _become(connection, topic, subject)
            rows = await connection.fetch(
                "select id from realtime.messages where id = any ($1)", list(probes)
            )
        seen = {probes[row["id"]] for row in rows}
        return Grants(broadcast="broadcast" in seen, presence="presence" in seen)

    async def write(self, topic: str, subject: Subject) -> Grants:
        """Return what the subject may send on a private topic; raises as ``read`` does."""
        async with self._asking(topic) as connection:
            await _become(connection, topic, subject)
            broadcast = await _may_insert(connection, topic, "broadcast")
            presence = await _may_insert(connection, topic, "presence")
        return Grants(broadcast=broadcast, presence=presence)

    @asynccontextmanager
    async def _asking(self, topic: str) -> AsyncIterator[Connection]:
        try:
            async with self._database.connection() as connection:
                transaction = connection.transaction()
                await transaction.start()
                try:
                    yield connection
                finally:
                    if not connection.is_closed():
                        await transaction.rollback()
        except asyncpg.QueryCanceledError as error:
            raise PermissionCheckError(
                f"QueryCanceled: {error}", "Query was cancelled, please try again", denied=False
            ) from error
        except CONNECTION_ERRORS as error:
            raise PermissionCheckError(
                f"UnableToConnectToProject: {NO_DATABASE}", NO_DATABASE, denied=False
            ) from error
        except asyncpg.PostgresError as error:
            text = f"You do not have permissions to read from this Channel topic: {topic}"
            raise PermissionCheckError(f"Unauthorized: {text}", text, denied=True) from error


async def _become(connection: Connection, topic: str, subject: Subject) -> None:
    claims = subject.claims
    await connection.execute(
        _BECOME,
        subject.role,
        topic,
        json.dumps(claims),
        str(claims["sub"]) if claims.get("sub") is not None else "",
        json.dumps(dict(subject.headers)),
    )


async def _may_insert(connection: Connection, topic: str, extension: str) -> bool:
    savepoint = connection.transaction()
    await savepoint.start()
    try:
        await connection.execute(_PROBE, uuid.uuid4(), topic, extension)
    except asyncpg.InsufficientPrivilegeError:
        await savepoint.rollback()
        return False
    await savepoint.rollback()
    return True
