"""The demo from start to result: servers, customers, staff, the cut, and the judgement."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from crm_service.client import CrmClient
from portalctl.demo.alongside import alongside, cause_of
from portalctl.demo.checker import Counts, count_changes
from portalctl.demo.customers import WatchedPortal
from portalctl.demo.day import Action
from portalctl.demo.judge import Observation, measure
from portalctl.demo.oracle import Oracle, Truth
from portalctl.demo.people import CONNECTED_CUSTOMERS, DemoCustomer
from portalctl.demo.progress import Progress
from portalctl.demo.proxy import CuttingProxy
from portalctl.demo.replay import Replay
from portalctl.demo.report import DemoResult
from portalctl.demo.servers import Project, crm_server, stack_server
from portalctl.demo.staff import StaffMember, session_of
from portalctl.demo.view import view_of

_SETTLE_S: Final = 20.0
# Long enough for a change that would come twice to do so: several rings and database answers.
_AFTERWARDS_S: Final = 0.75
_POLL_S: Final = 0.05
# Signing in is meant to be expensive for the server; a queue keeps the machine usable meanwhile.
_SIGN_INS_AT_ONCE: Final = 5


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to replay, and how fast: `replay_s` seconds from the day's start to its last action."""

    actions: tuple[Action, ...]
    replay_s: float


async def run_demo(options: DemoOptions, console: Console) -> DemoResult:
    """Run the whole demo and return its result.

    Args:
        options: What to replay.
        console: Where progress is shown.

    Raises:
        CommandError: It could not be run to its end; says why.

    Cancellation:
        Safe. Every process and connection it started is gone when it returns.
    """
    try:
        return await _Demo(options, console).run()
    except BaseExceptionGroup as group:
        raise cause_of(group) from group


class _Demo:
    """One run. Everything it opens is on one exit stack, closed in reverse."""

    def __init__(self, options: DemoOptions, console: Console) -> None:
        self._options = options
        self._started_s = time.monotonic()
        self._progress = Progress(actions_total=len(options.actions))
        self._view = view_of(self._progress, console)
        self._portals: list[WatchedPortal] = []
        self._replay: Replay | None = None

    async def run(self) -> DemoResult:
        """Start everything, replay the day, wait until it has arrived, and judge."""
        async with AsyncExitStack() as stack:
            stack.enter_context(self._view)
            await stack.enter_async_context(alongside(self._show()))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-demo-")))
            self._progress.phase = "starting the stack"
            server, project = await stack.enter_async_context(stack_server(folder))
            proxy = await stack.enter_async_context(CuttingProxy(project.url))
            self._progress.phase = "starting the CRM service"
            service, service_url = await stack.enter_async_context(
                crm_server(folder, project, proxy.url)
            )
            await stack.enter_async_context(
                alongside(server.fail_when_ended(), service.fail_when_ended())
            )
            oracle = await stack.enter_async_context(Oracle(project.database_url))
            await self._seat_customers(stack, proxy.url, project.publishable_key)
            staff = await self._seat_staff(stack, project, service_url)
            before = await self._truths(oracle)
            for portal in self._portals:
                portal.start_counting()
            self._replay = replay = Replay(
                self._options.actions, staff, self._options.replay_s, proxy.cut, self._progress
            )
            self._progress.phase = "replaying the day"
            await replay.run()
            self._progress.phase = "waiting for the last changes"
            await self._settle(oracle, before)
            result = await self._result(oracle, before, replay)
            self._progress.phase = "stopping"
            return result

    async def _seat_customers(self, stack: AsyncExitStack, url: str, key: str) -> None:
        self._progress.phase = f"signing in {CONNECTED_CUSTOMERS} customers"
        self._portals = [
            WatchedPortal(DemoCustomer(number), url, key)
            for number in range(1, CONNECTED_CUSTOMERS + 1)
        ]
        self._progress.seats = [portal.seat for portal in self._portals]
        admission = asyncio.Semaphore(_SIGN_INS_AT_ONCE)
        await stack.enter_async_context(
            alongside(*(portal.stay(admission) for portal in self._portals))
        )
        for portal in self._portals:
            await portal.ready.wait()

    async def _seat_staff(
        self, stack: AsyncExitStack, project: Project, service_url: str
    ) -> dict[str, StaffMember]:
        self._progress.phase = "signing in the staff"
        roles = {action.staff: action.role for action in self._options.actions}
        staff: dict[str, StaffMember] = {}
        for name, role in sorted(roles.items()):
            http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            session = session_of(role, project)
            await session.token()
            staff[name] = StaffMember(name, CrmClient(service_url, session.token, http=http))
        return staff

    async def _truths(
        self, oracle: Oracle, before: Sequence[Truth] | None = None
    ) -> tuple[Truth, ...]:
        """Read every customer's truth: at the head now, or since an earlier one."""
        truths: list[Truth] = []
        for index, portal in enumerate(self._portals):
            after_n = before[index].n if before else await oracle.head(portal.customer)
            truths.append(await oracle.truth(portal.customer, after_n))
        return tuple(truths)

    async def _settle(self, oracle: Oracle, before: Sequence[Truth]) -> None:
        """Wait until everything has arrived, at most a while; then a little longer for repeats."""
        due = await self._truths(oracle, before)
        deadline_s = time.monotonic() + _SETTLE_S
        while not self._has_arrived(due):
            if time.monotonic() > deadline_s:
                break
            await asyncio.sleep(_POLL_S)
        await asyncio.sleep(_AFTERWARDS_S)

    def _has_arrived(self, due: Sequence[Truth]) -> bool:
        return all(
            portal.state == "live"
            and not count_changes(
                truth.log, [item.key for item in portal.received], truth.row_ids
            ).lost
            for portal, truth in zip(self._portals, due, strict=True)
        )

    async def _result(self, oracle: Oracle, before: Sequence[Truth], replay: Replay) -> DemoResult:
        after = await self._truths(oracle, before)
        observations = [
            Observation(portal.customer.email, first, last, tuple(portal.received), portal.cache())
            for portal, first, last in zip(self._portals, before, after, strict=True)
        ]
        latencies = measure(
            replay.sent_at_ns,
            (item for observation in observations for item in observation.received),
        )
        return DemoResult(
            writes=self._progress.actions_done,
            counts=sum((observation.counts for observation in observations), Counts()),
            latency=latencies.every,
            live=latencies.live,
            catch_up=latencies.catch_up,
            cut_connections=self._progress.cut_connections or 0,
            cache_differences=tuple(
                (observation.email, difference)
                for observation in observations
                for difference in observation.differences
            ),
            not_live=tuple(
                (portal.customer.email, portal.state)
                for portal in self._portals
                if portal.state != "live"
            ),
            seconds=time.monotonic() - self._started_s,
        )

    async def _show(self) -> None:
        while True:
            sent_at_ns = self._replay.sent_at_ns if self._replay else {}
            for portal in self._portals:
                portal.describe(sent_at_ns)
            self._view.update()
            await asyncio.sleep(_POLL_S)
