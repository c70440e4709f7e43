"""Carries out what the core orders of the store, and remembers what could not be stored.

What takes time for every row, reading a file and writing everything anew, is done in threads, a
little at a time; the event loop goes on. Everything else is a short transaction on the loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.feed import Tables
from portal_sdk._core.replica import Commit
from portal_sdk._runtime.threads import run_in_thread
from portal_sdk._runtime.tokens import TokenSource
from portal_sdk._store import MemoryStore, SqliteStore, Store, StoredRows
from portal_sdk.errors import StoreError

logger = logging.getLogger("portal_sdk")
SALT_BYTES = 16
STORE_RETRY_S = 5.0
"""A store that failed is rewritten as a whole: not more often than this."""
ROWS_AT_ONCE = 1_000
"""So many rows are written in 20 ms, on the loop."""


class StoreKeeper:
    """The store of one driver; a store that fails costs the portal nothing but the file.

    Attributes:
        error: Why rows are not kept on disk, or None.
    """

    def __init__(
        self, store: Store, project: str, tokens: TokenSource, *,
        post: Callable[[ev.Event], None],
        start: Callable[[Coroutine[Any, Any, None], str], object],
        everything: Callable[[], Commit | None], progressed: Callable[[], None],
    ) -> None:  # fmt: skip
        self.error: StoreError | None = None
        self._store = store
        self._project = project
        self._tokens = tokens
        self._post = post
        self._start = start
        self._everything = everything
        self._progressed = progressed
        self._set_aside: Store | None = None
        self._user_id: str | None = None
        self._must_claim = False
        """The store may be somebody else's; so it stays until there are rows to keep (SYNC-24)."""
        self._must_rewrite = self._must_purge = False
        self._retry_at = 0.0
        self._catching_up: list[Commit] | None = None
        self._is_sweeping = self._must_sweep = False

    def open(self, effect: do.OpenStore) -> None:
        """Read this user's rows and report them."""
        self._user_id = user_id = effect.user_id
        self._must_claim = True
        self._catching_up = None  # the rows of somebody who was signed in a moment ago
        if self._store.is_large:
            self._start(self._run_open(user_id), "open-store")
            return
        try:
            stored = self._store.open(self._project, user_id)
        except StoreError as error:
            stored = self._give_up(error)
        self._note_opened(user_id, stored)

    def recall(self, _effect: do.RecallRows) -> None:
        """Report the rows of the remembered login, if it is this one."""
        prove = getattr(self._tokens, "prove", None)
        if prove is not None and isinstance(self._store, SqliteStore):
            self._start(self._run_recall(prove), "recall")

    async def prepare(self, tables: Tables, is_wanted: Callable[[], bool]) -> None:
        """Write the rows of a large snapshot beforehand, so that its commit is a short one.

        Nothing counts before the commit of the same ``tables``.

        Args:
            tables: Nobody changes these mappings any more.
            is_wanted: Whether the snapshot is still waited for.

        Cancellation:
            Safe.
        """
        if _row_count(tables) > ROWS_AT_ONCE and not self._is_waiting_to_retry():
            try:
                await self._stage(tables, is_wanted)
            except StoreError as error:
                self._note_failed_commit(error)

    def commit(self, effect: do.CommitRows) -> None:
        """Store rows and cursor, now or with the next batch that can be stored."""
        commit = effect.commit
        if commit.everything is not None:
            self._catching_up = None  # whatever was lost before is in it
        elif self._catching_up is not None:
            self._catching_up.append(commit)
            return
        if self._must_rewrite:
            if self._is_waiting_to_retry():
                return
            if commit.everything is None:
                # A batch was lost: what is stored is complete up to an older cursor.
                self._rewrite()
                return
        try:
            if self._must_claim:
                self._claim()
            self._store.commit(commit)
        except StoreError as error:
            self._note_failed_commit(error)
        else:
            self._note_stored()
            if commit.everything is not None:
                self._sweep()

    def purge(self, _effect: do.PurgeStore) -> None:
        """Let no row count any more, now; and erase them, in threads if they are many."""
        self._catching_up = None
        if not self._must_claim and self._purge():
            self._sweep()

    def _purge(self) -> bool:
        try:
            self._store.purge()
        except StoreError as error:
            self._must_rewrite = self._must_purge = True
            self._note_error(error)
            return False
        return True

    async def close(self) -> None:
        """Release the store; a large one in a thread, for there may be much to erase.

        Cancellation:
            The store is released all the same, a moment later.
        """
        if self._store.is_large:
            await run_in_thread(self._close)
        else:
            self._close()

    def _close(self) -> None:
        if self._must_purge:  # SYNC-18: what was taken back must not stay in the file
            self._purge()
        self._store.close()
        if self._set_aside is not None:
            self._set_aside.close()

    # Opening.

    async def _run_open(self, user_id: str) -> None:
        store = self._store
        try:
            stored = await run_in_thread(lambda: store.open(self._project, user_id))
        except StoreError as error:
            stored = self._give_up(error)
        except Exception as error:
            logger.exception("The store could not be opened because of a bug in the SDK")
            name = type(error).__name__
            stored = self._give_up(StoreError(f"Unexpected {name} while opening the store"))
        self._note_opened(user_id, stored)

    def _give_up(self, error: StoreError) -> StoredRows:
        """Go on without the file."""
        self._note_error(error)
        self._set_aside = self._store  # the outbox may be able to use it all the same
        self._store = MemoryStore()
        return StoredRows()

    def _note_opened(self, user_id: str, stored: StoredRows) -> None:
        self._post(_store_opened(user_id, stored))
        self._sweep()  # a process that was killed may have left something
        if stored.scope is not None and user_id == self._user_id:
            self._must_claim = False  # it is ours already
            self._remember()

    def _claim(self) -> None:
        """SYNC-24: what is committed comes from a server that has accepted the user's token."""
        self._store.claim(self._project, self._user_id or "")
        self._must_claim = False
        self._remember()

    def _remember(self) -> None:
        """SYNC-21: let the next start without a network recognise this login."""
        prove = getattr(self._tokens, "prove", None)
        if prove is not None and isinstance(self._store, SqliteStore):
            self._start(self._run_remember(prove, self._user_id), "remember-login")

    async def _run_remember(self, prove: Callable[[bytes], bytes], user_id: str | None) -> None:
        salt = os.urandom(SALT_BYTES)
        proof = await run_in_thread(lambda: prove(salt))
        if self._must_claim or user_id != self._user_id:
            return  # somebody else has signed in meanwhile
        try:
            self._store.remember(salt, proof)
        except StoreError as error:
            self._note_error(error)

    async def _run_recall(self, prove: Callable[[bytes], bytes]) -> None:
        try:
            salt = self._store.salt(self._project)
            if salt is None:
                return
            proof = await run_in_thread(lambda: prove(salt))
            found = await run_in_thread(lambda: self._store.recall(self._project, proof))
        except StoreError as error:
            self._note_error(error)
            return
        if found is not None:
            user_id, stored = found
            self._post(ev.RowsRecalled(user_id, _store_opened(user_id, stored)))

    # Writing everything.

    async def _stage(self, tables: Tables, is_wanted: Callable[[], bool]) -> bool:
        """Write all rows beside those that count; return whether they are complete."""
        staging = self._store.stage(tables)
        if staging is None:
            return False
        while is_wanted() and await run_in_thread(staging.advance):
            pass
        return staging.is_complete

    def _rewrite(self) -> None:
        everything = self._everything()
        if everything is not None and everything.everything is not None:
            self._catching_up = []
            self._start(
                self._run_rewrite(everything, everything.everything, self._catching_up),
                "rewrite-store",
            )

    async def _run_rewrite(self, all_rows: Commit, tables: Tables, later: list[Commit]) -> None:
        """Store everything as it was when this began, then what was ordered meanwhile."""

        def is_wanted() -> bool:
            return self._catching_up is later

        try:
            if await self._stage(tables, is_wanted) and is_wanted():
                if self._must_claim:
                    self._claim()
                for commit in [all_rows, *later]:
                    self._store.commit(commit)
                self._note_stored()
        except StoreError as error:
            if is_wanted():
                self._note_failed_commit(error)
        finally:
            if is_wanted():
                self._catching_up = None
        self._progressed()
        self._sweep()

    def _sweep(self) -> None:
        """Erase what does not count any more; whatever is much of it, in a thread."""
        self._must_sweep = True
        if self._is_sweeping:
            return
        try:
            self._is_sweeping = self._store.is_large or self._store.sweep()
        except StoreError as error:
            logger.debug("Old rows stay in the store for now: %s", error)
        if self._is_sweeping:
            self._start(self._run_sweep(), "sweep-store")

    async def _run_sweep(self) -> None:
        try:
            while self._must_sweep:
                self._must_sweep = False  # set again if more comes while the last look is made
                while await run_in_thread(self._store.sweep):
                    pass
        except StoreError as error:
            logger.debug("Old rows stay in the store for now: %s", error)
        finally:
            self._is_sweeping = False

    # What went wrong.

    def _is_waiting_to_retry(self) -> bool:
        return self._must_rewrite and asyncio.get_running_loop().time() < self._retry_at

    def _note_failed_commit(self, error: StoreError) -> None:
        self._must_rewrite = True
        self._retry_at = asyncio.get_running_loop().time() + STORE_RETRY_S
        self._note_error(error)

    def _note_stored(self) -> None:
        self._must_rewrite = self._must_purge = False
        self.error = None

    def _note_error(self, error: StoreError) -> None:
        if self.error is None:
            logger.error("Rows are kept in memory only: %s", error)
        self.error = error


def _row_count(tables: Tables) -> int:
    return sum(len(rows) for rows in tables.values())


def _store_opened(user_id: str, stored: StoredRows) -> ev.StoreOpened:
    return ev.StoreOpened(
        stored.scope, stored.epoch, stored.n, stored.tables, stored.as_of, stored.known,
        stored.forms, user_id,
    )  # fmt: skip
