"""Asks the database what the core wants to know; each outcome comes back as one event."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.difference import compare
from portal_sdk._core.session import PortalCore
from portal_sdk._runtime.http import HttpAnswer
from portal_sdk._runtime.pieces import run_in_pieces
from portal_sdk._runtime.rest import DatabaseApi
from portal_sdk._runtime.store_keeper import StoreKeeper
from portal_sdk._runtime.time_limit import TimeLimit
from portal_sdk.errors import NoCustomerError, PortalError, ProtocolError, RequestTimeoutError

logger = logging.getLogger("portal_sdk")
ResultT = TypeVar("ResultT")
NO_LIMIT = nullcontext()


class FeedReader:
    """The requests of one driver.

    Args:
        core: Looked at for the token, the rows shown, and whether an answer would still count.
        database: Where to ask.
        rows: Told of a snapshot before the core is, so that its commit is a short one.
        timeout_s: How long an answer may take.
        post: Takes the events.
        arrive: The same for an answer, at the end of what its task does.
        start: Runs a task under a name.
    """

    def __init__(
        self, core: PortalCore, database: DatabaseApi, rows: StoreKeeper, timeout_s: float, *,
        post: Callable[[ev.Event], None], arrive: Callable[[ev.Event], None],
        start: Callable[[Coroutine[Any, Any, None], str], object],
    ) -> None:  # fmt: skip
        self._core = core
        self._database = database
        self._rows = rows
        self._limit = TimeLimit(timeout_s)
        self._post = post
        self._arrive = arrive
        self._start = start
        # Of the task that has pulled and waits for the next order; done if none waits.
        self._waiting: asyncio.Future[do.RequestPull] | None = None

    def resolve_scope(self, effect: do.ResolveScope) -> None:
        """Find out which customer this user is."""
        self._start(self._run_resolve(effect), "resolve")

    def request_snapshot(self, effect: do.RequestSnapshot) -> None:
        """Read everything."""
        self._start(self._run_snapshot(effect), "snapshot")

    def request_pull(self, effect: do.RequestPull) -> None:
        """Read what came after the cursor; never waits for another request to end."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(effect)
        else:
            self._start(self._run_pulls(effect), "pull")

    def request_head(self, effect: do.RequestHead) -> None:
        """Read where the feed stands."""
        self._start(self._run_head(effect), "head")

    def close(self) -> None:
        """Let go of the timer; nothing more is asked."""
        self._limit.close()

    # Private.

    @property
    def _token(self) -> str:
        return self._core.token or ""

    async def _run_resolve(self, effect: do.ResolveScope) -> None:
        try:
            with self._limit:
                scope = await self._database.find_scope(effect.user_id, token=self._token)
        except NoCustomerError as error:
            self._post(ev.ScopeMissing(effect.request, error))
        except PortalError as error:
            self._post(ev.ScopeFailed(effect.request, error))
        except TimeoutError:
            self._post(ev.ScopeFailed(effect.request, _too_late("the customers table")))
        except Exception as error:  # noqa: BLE001 - a bug must reach the status, not vanish
            self._post(ev.ScopeFailed(effect.request, surprise("finding the customer", error)))
        else:
            self._post(ev.ScopeResolved(effect.request, scope))

    async def _run_snapshot(self, effect: do.RequestSnapshot) -> None:
        async def ask() -> HttpAnswer:
            return await self._database.snapshot(effect.scope, token=self._token)

        asked_s = time.time()
        answer = await self._attempt(effect.request, ask, self._limit)
        if answer is not None:
            taken = await self._attempt(
                effect.request, lambda: self._take_in(effect.request, answer, asked_s), NO_LIMIT
            )
            if taken is not None:
                self._post(taken)

    async def _take_in(
        self, request: int, answer: HttpAnswer, asked_s: float
    ) -> ev.SnapshotAnswered | None:
        """Read, compare and store a snapshot before the core takes it over in one moment.

        None if nobody waits for it any more; only then may the rows shown have changed.
        """
        core = self._core

        def is_wanted() -> bool:
            return core.sync.is_awaiting(request)

        shown = core.replica.tables
        snapshot = await self._database.read_snapshot(answer, asked_s, shown, is_wanted)
        if snapshot is None:
            return None
        comparing = compare(shown, snapshot, is_reported=core.sync.is_primed)
        comparison = await run_in_pieces(comparing, is_wanted)
        if comparison is None:
            return None
        await self._rows.prepare(snapshot.tables, is_wanted)
        return ev.SnapshotAnswered(request, snapshot, comparison)

    async def _run_pulls(self, first: do.RequestPull) -> None:
        """Pull, and then wait for the next order: a pull comes with every change, a task need not.

        One task waits, at most; a pull that is ordered meanwhile has a task of its own.
        """
        effect: do.RequestPull | None = first
        while effect is not None:
            ask = functools.partial(self._database.pull, effect, self._token)
            page = await self._attempt(effect.request, ask, self._limit)
            following = self._wait_for_order()  # the answer may lead to one at once
            if page is not None:
                self._arrive(ev.PullAnswered(effect.request, page))
                page = None  # the next change may be far
            effect = None if following is None else await following

    def _wait_for_order(self) -> asyncio.Future[do.RequestPull] | None:
        if self._waiting is not None and not self._waiting.done():
            return None
        self._waiting = asyncio.get_running_loop().create_future()
        return self._waiting

    async def _run_head(self, effect: do.RequestHead) -> None:
        ask = functools.partial(self._database.head, effect.scope, token=self._token)
        head = await self._attempt(effect.request, ask, self._limit)
        if head is not None:
            self._arrive(ev.HeadAnswered(effect.request, head))

    async def _attempt(
        self, request: int, work: Callable[[], Awaitable[ResultT]],
        limit: AbstractContextManager[None],
    ) -> ResultT | None:  # fmt: skip
        """Return the result, or None when the request was reported as failed."""
        try:
            with limit:
                return await work()
        except PortalError as error:
            self._post(ev.RequestFailed(request, error))
        except TimeoutError:
            self._post(ev.RequestFailed(request, _too_late("the database")))
        except Exception as error:  # noqa: BLE001 - a bug must reach the status, not vanish
            self._post(ev.RequestFailed(request, surprise("reading the feed", error)))
        return None


def surprise(doing: str, error: Exception) -> ProtocolError:
    """Return the error of something that must not happen; what exactly is in the debug log."""
    logger.debug("Unexpected error while %s", doing, exc_info=error)
    return ProtocolError(f"Unexpected {type(error).__name__} while {doing}")


def _too_late(who: str) -> RequestTimeoutError:
    return RequestTimeoutError(f"No answer from {who} in time")
