"""Carries out what the core orders of the store, and remembers what could not be stored."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from typing import Any

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.replica import Commit
from portal_sdk._runtime.threads import run_in_thread
from portal_sdk._runtime.tokens import TokenSource
from portal_sdk._store import MemoryStore, SqliteStore, Store, StoredRows
from portal_sdk.errors import StoreError

logger = logging.getLogger("portal_sdk")
SALT_BYTES = 16
STORE_RETRY_S = 5.0
"""A store that failed is rewritten as a whole: not more often than this."""


class StoreKeeper:
    """The store of one driver; a store that fails costs the portal nothing but the file.

    Attributes:
        error: Why rows are not kept on disk, or None.
    """

    def __init__(
        self, store: Store, project: str, tokens: TokenSource, *,
        post: Callable[[ev.Event], None],
        start: Callable[[Coroutine[Any, Any, None], str], object],
        everything: Callable[[], Commit | None],
    ) -> None:  # fmt: skip
        self.error: StoreError | None = None
        self._store = store
        self._project = project
        self._tokens = tokens
        self._post = post
        self._start = start
        self._everything = everything
        self._set_aside: Store | None = None
        self._must_rewrite = self._must_purge = False
        self._retry_at = 0.0

    def open(self, effect: do.OpenStore) -> None:
        """Read this user's rows and report them."""
        try:
            stored = self._store.open(self._project, effect.user_id)
        except StoreError as error:
            self._note_error(error)
            self._set_aside = self._store  # the outbox may be able to use it all the same
            self._store = MemoryStore()
            stored = self._store.open(self._project, effect.user_id)
        self._post(_store_opened(stored))
        if isinstance(self._store, SqliteStore) and (prove := getattr(self._tokens, "prove", None)):
            self._start(self._run_remember(prove), "remember-login")

    def recall(self, _effect: do.RecallRows) -> None:
        """Report the rows of the remembered login, if it is this one."""
        prove = getattr(self._tokens, "prove", None)
        if prove is not None and isinstance(self._store, SqliteStore):
            self._start(self._run_recall(prove), "recall")

    def commit(self, effect: do.CommitRows) -> None:
        """Store rows and cursor, now or with the next batch that can be stored."""
        commit = effect.commit
        now = asyncio.get_running_loop().time()
        if self._must_rewrite and now < self._retry_at:
            return
        if self._must_rewrite and not commit.replace:
            # A batch was lost: what is stored is complete up to an older cursor. Catch it up.
            commit = self._everything() or commit
        try:
            self._store.commit(commit)
        except StoreError as error:
            self._must_rewrite = True
            self._retry_at = now + STORE_RETRY_S
            self._note_error(error)
        else:
            self._must_rewrite = self._must_purge = False
            self.error = None

    def purge(self, _effect: do.PurgeStore) -> None:
        """Erase everything."""
        try:
            self._store.purge()
        except StoreError as error:
            self._must_rewrite = self._must_purge = True
            self._note_error(error)

    def close(self) -> None:
        """Release the store."""
        if self._must_purge:  # SYNC-18: what was taken back must not stay in the file
            self.purge(do.PurgeStore())
        self._store.close()
        if self._set_aside is not None:
            self._set_aside.close()

    # Private.

    async def _run_remember(self, prove: Callable[[bytes], bytes]) -> None:
        """SYNC-21: let the next start without a network recognise this login."""
        salt = os.urandom(SALT_BYTES)
        proof = await run_in_thread(lambda: prove(salt))
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
            found = self._store.recall(self._project, proof)
        except StoreError as error:
            self._note_error(error)
            return
        if found is not None:
            user_id, stored = found
            self._post(ev.RowsRecalled(user_id, _store_opened(stored)))

    def _note_error(self, error: StoreError) -> None:
        if self.error is None:
            logger.error("Rows are kept in memory only: %s", error)
        self.error = error


def _store_opened(stored: StoredRows) -> ev.StoreOpened:
    return ev.StoreOpened(
        stored.scope, stored.epoch, stored.n, stored.tables, stored.as_of, stored.known,
        stored.forms,
    )  # fmt: skip
