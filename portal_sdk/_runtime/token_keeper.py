"""Drives a TokenMachine for clients that have no PortalCore: the plain layer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from portal_sdk._core.effects import FetchToken
from portal_sdk._core.events import (
    PauseAsked,
    Started,
    TokenAcquired,
    TokenFailed,
    TokenRefused,
    TokenRejected,
)
from portal_sdk._core.token import TokenEvent, TokenMachine
from portal_sdk._runtime.http import HttpApi
from portal_sdk._runtime.tokens import TokenSource
from portal_sdk.config import PortalConfig
from portal_sdk.errors import (
    AuthError,
    PortalError,
    ProtocolError,
    RequestTimeoutError,
    TokenRejectedError,
)


class TokenKeeper:
    """Gets the token, renews it in time, and tells when there is another one."""

    def __init__(
        self, source: TokenSource, http: HttpApi, config: PortalConfig, changed: Callable[[], None]
    ) -> None:
        self.token = ""
        self.user_id = ""
        self.error: PortalError | None = None
        self.answered = asyncio.Event()
        self._source = source
        self._http = http
        self._config = config
        self._changed = changed
        self._machine = TokenMachine(config, random.random)
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Get the first token."""
        self._tell(Started())

    def reject(self) -> None:
        """The server did not accept the token."""
        self._tell(TokenRejected(TokenRejectedError("The server does not accept the token")))

    async def close(self) -> None:
        """End the timers and the task; whoever waits for the first answer goes on."""
        self.answered.set()
        self._machine.handle(PauseAsked(), self._now())
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _tell(self, event: TokenEvent) -> None:
        self._carry_out(self._machine.handle(event, self._now()))

    def _carry_out(self, effects: list[FetchToken]) -> None:
        for effect in effects:
            if self._task is None or self._task.done():
                work = self._fetch(effect)
                self._task = asyncio.create_task(work, name="portal-token")
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._machine.next_deadline()
        if deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._carry_out(self._machine.handle_timer(self._now()))

    async def _fetch(self, effect: FetchToken) -> None:
        event: TokenEvent
        try:
            async with asyncio.timeout(self._config.request_timeout_s * effect.patience):
                issued = await self._source.fetch(self._http, renew=effect.renew)
        except AuthError as error:
            self.error, event = error, TokenRefused(error)
            self.answered.set()
        except PortalError as error:
            self.error, event = error, TokenFailed(error)
        except TimeoutError:
            self.error = RequestTimeoutError("No access token in time")
            event = TokenFailed(self.error)
        except Exception as error:  # noqa: BLE001 - an unknown source of tokens; asked again
            self.error = ProtocolError(f"Unexpected {type(error).__name__} while getting a token")
            event = TokenFailed(self.error)
        else:
            self.token, self.user_id, self.error = issued.token, issued.user_id, None
            event = TokenAcquired(issued.token, issued.user_id, issued.life_s)
            self.answered.set()
        self._task = None  # this one is over; the machine may ask for another
        self._tell(event)
        if isinstance(event, TokenAcquired):
            self._changed()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
