"""Random faults on every path while staff write; afterwards the cache must equal the database."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.faults.correspondent import Correspondent
from tests.faults.counters import Counters
from tests.faults.freshness import Freshness
from tests.faults.matrix import DOORBELLS, Fault, faults_for
from tests.faults.oracle import Rows, read_as_user, stored_rows
from tests.faults.proxy import FaultProxy
from tests.faults.staff import Staff
from tests.faults.witness import Witness, cached_rows
from tests.faults.world import CONFIG, Device, ShortTokens, World, password_of, tokens_of
from tests.support.waiting import eventually

ALLOWED_BEHIND_S = CONFIG.verify_interval_s + CONFIG.request_timeout_s + CONFIG.lag_grace_s
STUCK_AFTER_S = 30.0
FAULTS_PER_ROUND = 25
TOKEN_LIFE_S = 6
SEEN_DIFFERENCES = 5


class Campaign:
    """One customer with one or two devices behind a bad network, and staff who keep writing.

    Args:
        account, other: The customer, and one whose data must never be seen.
        proxy: What the devices connect through.
        folder: Place for the store of the first device.
        seed: Of every random choice.
        doorbells: A name in ``DOORBELLS``.
        faults: What to draw from; None is the matrix.
        short: Leave out faults that take long or disturb other users of the stack.
        device_count: 2 adds a device in memory that signs in with tokens of seconds.
        writer_count: Members of staff who write at once.
        has_writer: The first device's customer writes messages all the time.
        on_progress: Told after each fault.
    """

    def __init__(
        self, account: Any, other: Any, proxy: FaultProxy, folder: Path, *, seed: int,
        doorbells: str, faults: Sequence[Fault] | None = None, short: bool = True,
        device_count: int = 1, writer_count: int = 2, has_writer: bool = False,
        on_progress: Callable[[Counters], None] = lambda _counters: None,
    ) -> None:  # fmt: skip
        self.counters = Counters()
        self._account, self._proxy = account, proxy
        self._random = random.Random(seed)
        self._config = replace(CONFIG, doorbells=DOORBELLS[doorbells])
        self._faults = faults or faults_for(doorbells, short=short)
        self._writer_count = writer_count
        self._on_progress = on_progress
        secret = f"secret-{uuid.uuid4().hex}"
        proxy.secret = secret.encode()
        self._staff = Staff(
            account, other, self._random, self.counters, secret=secret, on_commit=self._committed
        )
        self._world = World(account, other, proxy, self._random, self.counters, self._staff.jobs)
        self._add_device(folder / "portal.db", password_of(account))
        if device_count > 1:
            self._world.tokens = ShortTokens(account, TOKEN_LIFE_S)
            self._add_device(None, tokens_of(self._world.tokens))
        self._customer = (
            Correspondent(self._world.devices[0], account, self._random, self.counters)
            if has_writer
            else None
        )
        self._writing_messages: asyncio.Task[None] | None = None

    def _add_device(self, store: Path | None, auth: Any) -> None:
        witness = Witness(
            str(self._account.customer_id), self.counters, self._world.tampered,
            Freshness(ALLOWED_BEHIND_S, self.counters),
        )  # fmt: skip
        device = Device(
            self._account, self._proxy.url, self._config, witness, store=store, auth=auth
        )
        self._world.devices.append(device)

    async def run(self, *, fault_count: int, write_count: int) -> Counters:
        """Run until so many faults and writes were made; judge in between and at the end."""
        await self._staff.prepare()
        for device in self._world.devices:
            await device.open()
        for device in self._world.devices:
            assert device.portal is not None
            await device.portal.ready(timeout_s=STUCK_AFTER_S)
        started_s = time.monotonic()
        tasks = [
            asyncio.create_task(self._write(write_count // self._writer_count, writer))
            for writer in range(self._writer_count)
        ]
        tasks.append(asyncio.create_task(self._watch(), name="watch"))
        try:
            self._let_the_customer_write()
            await self._disturb(fault_count, tasks[:-1])
            await asyncio.gather(*tasks[:-1])
            self.seconds = time.monotonic() - started_s
            await self._judge()
            await self._judge_store()
        finally:
            await self._stop_the_customer()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for device in self._world.devices:
                await device.close()
                await device.witness.stop()
        return self.counters

    async def _disturb(self, fault_count: int, writing: list[asyncio.Task[None]]) -> None:
        counters = self.counters
        while counters.faults < fault_count or not all(task.done() for task in writing):
            await self._one_fault()
            await asyncio.sleep(self._random.random() * 0.05)
            for task in writing:
                if task.done():
                    task.result()
            if counters.faults % FAULTS_PER_ROUND == 0:
                await self._staff.stop(self._writer_count)
                await self._judge()
                self._staff.go_on()
                self._let_the_customer_write()
            self._on_progress(counters)

    async def _one_fault(self) -> None:
        fault: Fault = self._random.choices(self._faults, [fault.weight for fault in self._faults])[
            0
        ]
        await fault.act(self._world)
        self.counters.faults += 1
        by_fault = self.counters.by_fault
        by_fault[fault.name] = by_fault.get(fault.name, 0) + 1

    async def _write(self, count: int, writer: int) -> None:
        try:
            await self._staff.write(count, writer=writer)
        finally:
            self._staff.finish(writer)

    def _committed(self, n: int) -> None:
        for device in self._world.devices:
            assert device.witness.freshness is not None
            device.witness.freshness.committed(n)

    async def _watch(self) -> None:
        while True:
            for device in self._world.devices:
                if device.portal is not None and device.witness.freshness is not None:
                    device.witness.freshness.look(device.portal)
            await asyncio.sleep(0.05)

    def _let_the_customer_write(self) -> None:
        if self._customer is not None:
            self._writing_messages = asyncio.create_task(self._customer.run(), name="customer")

    async def _stop_the_customer(self) -> None:
        task, self._writing_messages = self._writing_messages, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    # Judgement.

    async def _judge(self) -> None:
        """With staff at rest and the network healed, every device must come to the truth."""
        self._world.heal()
        self.counters.judgements += 1
        await self._stop_the_customer()
        self._world.each_portal(lambda portal: portal.resume())
        if self._customer is not None:
            await self._customer.judge(STUCK_AFTER_S)
        for device in self._world.devices:
            await self._judge_device(device)
        self.counters.leaked += self._proxy.leak_count
        self._proxy.leak_count = 0

    async def _judge_device(self, device: Device) -> None:
        portal, counters = device.portal, self.counters
        assert portal is not None
        try:
            await eventually(lambda: portal.status.state == "live", STUCK_AFTER_S)
        except AssertionError:
            counters.stuck += 1
            counters.details.append(f"stuck: {portal.status}")
        truth = await self._truth()
        try:
            await eventually(lambda: cached_rows(portal) == truth, STUCK_AFTER_S)
        except AssertionError:
            self._note_differences("shown", truth, cached_rows(portal))
        device.witness.check()

    async def _judge_store(self) -> None:
        """What the first device keeps on disk is the truth as well."""
        device = self._world.devices[0]
        await device.close()
        assert device.store is not None
        self._note_differences("stored", await self._truth(), stored_rows(device.store))

    async def _truth(self) -> Rows:
        account = self._account
        truth = await read_as_user(account.stack.database_url, account.user_id, account.scope)
        return truth.rows

    def _note_differences(self, where: str, truth: Rows, found: Rows) -> None:
        wrong = [key for key in truth.keys() | found.keys() if truth.get(key) != found.get(key)]
        self.counters.lost += len(wrong)
        for key in wrong[:SEEN_DIFFERENCES]:
            self.counters.details.append(
                f"{where} differs: {key}: {_difference(truth.get(key), found.get(key))}"
            )


def _difference(truth: Any, found: Any) -> str:
    if truth is None or found is None:
        return "not in the database" if truth is None else "missing"
    return ", ".join(
        f"{name}: {truth.get(name)!r} is {found.get(name)!r}"
        for name in truth.keys() | found.keys()
        if truth.get(name) != found.get(name)
    )
