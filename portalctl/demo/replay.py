"""Replay the recorded day: everybody at their own pace, one cut of all sockets half-way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from portalctl.demo.checker import ChangeKey
from portalctl.demo.day import Action
from portalctl.demo.gate import QuietGate
from portalctl.demo.progress import Progress
from portalctl.demo.staff import StaffMember


class Replay:
    """One replay of a day.

    Args:
        actions: The day, in order of time.
        staff: Everybody who appears in it, by name.
        replay_s: How long the day takes, from its first second to its last action.
        cut: Resets every socket and returns how many there were; called once, half-way.
        progress: Kept up to date.
    """

    def __init__(
        self,
        actions: Sequence[Action],
        staff: Mapping[str, StaffMember],
        replay_s: float,
        cut: Callable[[], int],
        progress: Progress,
    ) -> None:
        self._actions = actions
        self._staff = staff
        self._scale = replay_s / max(actions[-1].at_s, 1.0)
        self._cut = cut
        self._progress = progress
        self._gate = QuietGate()
        self._half_way = asyncio.Event()
        self.sent_at_ns: dict[ChangeKey, int] = {}
        """When the request of each answered write was sent, by the change it made (monotonic)."""

    async def run(self) -> None:
        """Do the whole day.

        Raises:
            ExceptionGroup: With a `WriteRefusedError`: an action was refused.
        """
        start_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._cut_half_way(), name="demo-cut")
            for name, member in self._staff.items():
                own = [action for action in self._actions if action.staff == name]
                group.create_task(self._work(member, own, start_s), name=f"demo-{name}")

    async def _work(self, member: StaffMember, actions: Sequence[Action], start_s: float) -> None:
        loop = asyncio.get_running_loop()
        for action in actions:
            due_s = start_s + action.at_s * self._scale
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            async with self._gate.passing():
                await member.prepare(action)
                write = await member.perform(action)
            self.sent_at_ns[write.key] = write.sent_at_ns
            self._note(action)

    def _note(self, action: Action) -> None:
        progress = self._progress
        progress.actions_done += 1
        progress.last_action = f"{action.staff}: {action.action.replace('_', ' ')}"
        if progress.actions_done >= len(self._actions) // 2:
            self._half_way.set()

    async def _cut_half_way(self) -> None:
        await self._half_way.wait()
        # No staff request is under way, so that every write has one known outcome; what the
        # customers still have to hear about, and everything after this moment, is in the air.
        async with self._gate.quiet():
            self._progress.cut_connections = self._cut()
