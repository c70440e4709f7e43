"""The store in one SQLite file: WAL, rows and cursor in one transaction, one owner at a time."""

from __future__ import annotations

import hmac
import json
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from portal_sdk._core.feed import Tables
from portal_sdk._core.replica import Commit
from portal_sdk._store.protocol import StoredRows
from portal_sdk._store.row_table import Shape, read_tables, write_rows, write_shapes
from portal_sdk._store.schema import complaint_about, create_schema, is_our_file
from portal_sdk._store.staging import Staging, erase_some, newest_generation, rows_in_order
from portal_sdk.errors import StoreError, StoreLockedError, StoreUnusableError

logger = logging.getLogger("portal_sdk")
_ResultT = TypeVar("_ResultT")
LARGE_BYTES = 1024 * 1024
"""About 2,000 rows, which are read in 8 ms."""
CURSOR_KEYS = ("scope", "epoch", "n", "as_of", "forms")


class SqliteStore:
    """Rows and cursor of one user of one project.

    The file is locked for as long as it is open, so a second process, or a second portal, is
    refused instead of mixing two cursors. The lock goes with the process, also on kill -9.
    A store of ours that is damaged is put aside and a new one is begun: the rows are read from the
    server again. A file that is not ours is never touched.

    All threads use one connection, each for one whole transaction at a time.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.RLock()
        self._generation = self._newest_generation = 0
        self._has_read_generation = False
        self._staging: Staging | None = None
        self._shapes: set[Shape] = set()  # those that are in the file for certain

    @property
    def is_large(self) -> bool:
        """Whether reading or erasing all of it would hold up an event loop."""
        paths = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        try:
            return sum(path.stat().st_size for path in paths if path.exists()) > LARGE_BYTES
        except OSError:
            return False

    def lock(self) -> None:
        """Open the file and take its lock."""
        with self._turn:
            if self._connection is not None:
                return
            try:
                self._connection = self._connect()
            except sqlite3.DatabaseError as error:
                if not _is_damage(error) or not is_our_file(self.path):
                    raise self._translate(error) from error
                self._begin_anew()

    def open(self, project: str, user_id: str) -> StoredRows:
        """Return this user's rows; nothing if they are somebody else's, who keeps them."""

        def read(connection: sqlite3.Connection) -> StoredRows:
            meta = _read_meta(connection)
            self._note_generation(connection, meta)
            is_ours = (meta.get("project"), meta.get("user_id")) == (project, user_id)
            return self._read_rows(connection, meta) if is_ours else StoredRows()

        return self._guarded(read)

    def claim(self, project: str, user_id: str) -> None:
        """Make the file this user's; of anyone else no row counts any more."""
        with self._turn:
            with self._transaction("written") as connection:
                meta = _read_meta(connection)
                if (meta.get("project"), meta.get("user_id")) == (project, user_id):
                    return
                connection.execute("delete from meta")
                owner = (("project", project), ("user_id", user_id))
                connection.executemany("insert into meta values (?, ?)", owner)
                generation = self._begin_generation(connection)
            self._generation, self._shapes = generation, set()

    def salt(self, project: str) -> bytes | None:
        """Return the salt of the remembered login of this project, or None."""
        meta = self._guarded(_read_meta)
        salt = meta.get("salt")
        return None if salt is None or meta.get("project") != project else bytes.fromhex(salt)

    def recall(self, project: str, proof: bytes) -> tuple[str, StoredRows] | None:
        """Return user id and rows of the remembered login, if the proof is the one remembered."""

        def read(connection: sqlite3.Connection) -> tuple[str, StoredRows] | None:
            meta = _read_meta(connection)
            wanted = meta.get("proof", "")
            if meta.get("project") != project or not hmac.compare_digest(proof.hex(), wanted):
                return None
            self._note_generation(connection, meta)
            return meta["user_id"], self._read_rows(connection, meta)

        return self._guarded(read)

    def remember(self, salt: bytes, proof: bytes) -> None:
        """Keep what ``recall`` needs to recognise the login of the user whose rows these are."""
        login = (("salt", salt.hex()), ("proof", proof.hex()))
        with self._transaction("written") as connection:
            connection.executemany("insert or replace into meta values (?, ?)", login)

    def stage(self, tables: Tables) -> Staging:
        """Begin to write all rows anew, beside those that count."""
        with self._turn:
            self._staging = Staging(tables, self._new_generation(), self._write_staged)
            return self._staging

    def commit(self, commit: Commit) -> None:
        """Store rows and cursor together, or nothing."""
        cursor = [("scope", commit.scope), ("epoch", commit.epoch), ("n", str(commit.n))]
        if commit.as_of is not None:
            cursor.append(("as_of", commit.as_of))
        with self._turn:
            if commit.everything is not None:
                cursor.append(("forms", json.dumps(dict(commit.forms))))
                self._replace(commit.everything, cursor)
            else:
                self._change(commit, cursor)

    def sweep(self) -> bool:
        """Erase some rows that do not count any more; return whether there may be more."""
        if not self._has_read_generation:
            return False  # the file was locked and never opened: nobody knows what counts
        with self._transaction("erased") as connection:
            keep = {self._generation}
            if self._staging is not None:
                keep.add(self._staging.generation)
            return erase_some(connection, keep)

    def purge(self) -> None:
        """Forget cursor and scope; no row counts from now on, and ``sweep`` erases them."""
        with self._turn:
            with self._transaction("erased") as connection:
                if not self._has_read_generation:
                    self._note_generation(connection, _read_meta(connection))
                marks = ", ".join("?" * len(CURSOR_KEYS))
                connection.execute(f"delete from meta where key in ({marks})", CURSOR_KEYS)
                generation = self._begin_generation(connection)
            self._generation, self._shapes, self._staging = generation, set(), None

    def close(self) -> None:
        """Release the file and its lock, and leave nothing in it that does not count."""
        with self._turn:
            self._staging = None
            if self._connection is None:
                return
            try:
                while self.sweep():
                    pass
            except (StoreError, sqlite3.Error) as error:
                logger.debug("Old rows stay in the store until it is opened again: %s", error)
            finally:
                self._release()

    @contextmanager
    def database(self) -> Generator[sqlite3.Connection, None, None]:
        """Lend the open connection, for the outbox, which is kept in the same file.

        Raises:
            StoreError: The file is not open.
        """
        with self._turn:
            yield self._opened()

    # Private.

    def _change(self, commit: Commit, cursor: list[tuple[str, str]]) -> None:
        generation = self._generation
        shapes = {(table, tuple(row)) for table, _row_id, row in commit.upserts}
        with self._transaction("written") as connection:
            if commit.removes:
                connection.executemany(
                    "delete from rows where generation = ? and table_name = ? and row_id = ?",
                    [(generation, table, row_id) for table, row_id in commit.removes],
                )
            write_rows(connection, generation, commit.upserts)
            if new_shapes := shapes - self._shapes:
                write_shapes(connection, new_shapes)
            connection.executemany("insert or replace into meta values (?, ?)", cursor)
        self._shapes |= shapes

    def _replace(self, tables: Tables, cursor: list[tuple[str, str]]) -> None:
        staged, self._staging = self._staging, None
        with self._transaction("written") as connection:
            if staged is not None and staged.is_complete and staged.tables is tables:
                generation, shapes = staged.generation, staged.shapes
            else:
                generation = self._new_generation()
                rows = list(rows_in_order(tables))
                write_rows(connection, generation, rows)
                shapes = {(table, tuple(row)) for table, _row_id, row in rows}
            connection.execute("delete from shapes")
            write_shapes(connection, shapes)
            meta = [*cursor, ("generation", str(generation))]
            connection.executemany("insert or replace into meta values (?, ?)", meta)
        self._generation, self._shapes = generation, shapes

    def _new_generation(self) -> int:
        self._newest_generation += 1
        return self._newest_generation

    @contextmanager
    def _write_staged(self, staging: Staging) -> Generator[sqlite3.Connection | None, None, None]:
        with self._turn:
            if self._staging is not staging:
                yield None
                return
            try:
                with self._transaction("written") as connection:
                    yield connection
            except StoreError:
                self._staging = None
                raise

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        self._shapes = set()
        self._staging = None
        self._has_read_generation = False
        if connection is not None:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        self._create_privately()
        connection = sqlite3.connect(
            self.path, timeout=0.2, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("pragma locking_mode = exclusive")
            if complaint := complaint_about(connection):
                raise StoreUnusableError(
                    f"The store {self.path} {complaint}: give this portal its own file"
                )
            connection.execute("pragma journal_mode = wal")
            connection.execute("pragma synchronous = normal")
            connection.execute("pragma secure_delete = on")
            connection.execute("begin exclusive")
            create_schema(connection)
            connection.execute("commit")
        except (sqlite3.Error, StoreError):
            connection.close()
            raise
        return connection

    def _create_privately(self) -> None:
        """A new file is for its owner alone: it holds a person's data. SQLite's own follow it."""
        with suppress(OSError):  # it exists, or SQLite says better why it cannot be made
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))

    def _note_generation(self, connection: sqlite3.Connection, meta: dict[str, str]) -> None:
        self._generation = int(meta.get("generation", "0"))
        in_file = newest_generation(connection)  # a staging that was just begun has no rows yet
        self._newest_generation = max(self._generation, self._newest_generation, in_file)
        self._has_read_generation = True

    def _begin_generation(self, connection: sqlite3.Connection) -> int:
        """Let a generation without rows count once the caller's transaction is committed."""
        generation = self._new_generation()
        connection.execute("delete from shapes")
        meta = ("generation", str(generation))
        connection.execute("insert or replace into meta values (?, ?)", meta)
        return generation

    def _read_rows(self, connection: sqlite3.Connection, meta: dict[str, str]) -> StoredRows:
        if "scope" not in meta:
            return StoredRows()
        tables, known = read_tables(connection, self._generation)
        return StoredRows(
            meta["scope"], meta["epoch"], int(meta["n"]), tables, meta.get("as_of"), known,
            json.loads(meta.get("forms", "{}")),
        )  # fmt: skip

    def _guarded(self, read: Callable[[sqlite3.Connection], _ResultT]) -> _ResultT:
        """Read; when the file turns out to be damaged, begin anew and read that."""
        with self._turn:
            self.lock()
            try:
                return read(self._opened())
            except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
                if isinstance(error, sqlite3.DatabaseError) and not _is_damage(error):
                    self._release()
                    raise self._translate(error) from error
                self._begin_anew()
                return read(self._opened())

    def _begin_anew(self) -> None:
        """Put a damaged file aside, complete, and begin an empty one."""
        self._release()
        aside = self.path.with_name(f"{self.path.name}.damaged")
        logger.error("The store %s is damaged; it is kept as %s", self.path.name, aside.name)
        try:
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self.path.replace(aside)
            self._generation = self._newest_generation = 0
            self._connection = self._connect()
        except (OSError, sqlite3.Error) as error:
            raise self._translate(error) from error

    @contextmanager
    def _transaction(self, doing: str) -> Generator[sqlite3.Connection, None, None]:
        with self._turn:
            connection = self._opened()
            try:
                connection.execute("begin immediate")
                yield connection
                connection.execute("commit")
            except sqlite3.Error as error:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise StoreError(
                    f"The store {self.path.name} could not be {doing}: {error}"
                ) from error
            except BaseException:
                connection.execute("rollback")
                raise

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"The store {self.path.name} is not open")
        return self._connection

    def _translate(self, error: Exception) -> StoreError:
        if isinstance(error, StoreError):
            return error
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            return StoreLockedError(
                f"The store {self.path} is in use by another process or portal: close that one,"
                " or give this portal its own file"
            )
        return StoreUnusableError(
            f"The store {self.path} cannot be used: {_advice(self.path, error)}",
            path=str(self.path),
        )


def _read_meta(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("select key, value from meta").fetchall())


def _advice(path: Path, error: Exception) -> str:
    if path.is_dir():
        return "it is a folder; name a file in it"
    if not path.absolute().parent.is_dir():
        return f"there is no folder {path.absolute().parent}; make it, or give another path"
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
        return "it is no store of a portal, and is left as it is; give this portal its own file"
    return (
        f"{error}; give another path, make the folder writable, or delete the file; the rows are"
        " read from the server again"
    )


def _is_damage(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
