"""Random histories of writes against a model server: every effect at most once, none lost.

Requests are stepped by hand: each may reach the server late, twice removed from its sender, or
never; answers get lost; the process is killed and started again from what was stored.
"""

from __future__ import annotations

import json as json_text
import random
import uuid
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from typing import Any

import pytest

from portal_sdk._core import outbox_effects as do
from portal_sdk._core import outbox_table as ev
from portal_sdk._core.outbox import OutboxMachine
from portal_sdk._core.overlay import Overlay
from portal_sdk._core.write import Entry, Write, WriteKind, WriteState
from portal_sdk._runtime.http import HttpRequest, error_of_answer
from portal_sdk._runtime.writing import WriteApi
from portal_sdk._store.outbox import parse_entry, render_entry
from portal_sdk.config import PortalConfig
from portal_sdk.errors import ConnectionLostError
from portal_sdk.testing.feed import FakeFeed
from portal_sdk.testing.rest import FakeRest

CUSTOMER = "c0000000-0000-4000-8000-000000000001"
HISTORIES = 200


@dataclass
class Ask:
    """One HTTP request, handed to the test instead of a network."""

    request: HttpRequest

    def __await__(self) -> Generator[Ask, Any, Any]:
        return (yield self)


class StepHttp:
    """Stands in for HttpApi."""

    async def request(
        self, method: str, path: str, *, json: Any = None, params: Any = None,
        token: str | None = None, headers: Any = None,
    ) -> Any:  # fmt: skip
        return await Ask(
            HttpRequest(
                method,
                path,
                params or {},
                headers or {},
                b"" if json is None else json_text.dumps(json).encode(),
            )
        )


@dataclass
class Flight:
    entry: Entry
    work: Coroutine[Any, Any, Any]
    ask: Ask


class World:
    """One outbox, one server, one network."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.feed = FakeFeed(CUSTOMER)
        self.rest = FakeRest(lambda _customer: None)
        self.feed.put("customers", {"id": CUSTOMER, "phone": "0", "address": "0", "version": 1})
        first = {"id": "first", "entry_no": 1, "points": 50, "balance_after": 50, "version": 1}
        self.feed.put("loyalty_transactions", first)
        self.stored: dict[str, str] = {}
        self.writes: list[Write] = []
        self.ended: dict[str, WriteState] = {}
        self.zombies: list[HttpRequest] = []
        self.now = 0.0
        self.start()

    def start(self) -> None:
        self.flights: list[Flight] = []
        self.base: dict[str, dict[str, Any]] = {"customers": {}, "messages": {}}
        self.read_n = 0
        self.overlay = Overlay(lambda: self.base)
        self.machine = OutboxMachine(PortalConfig(), self.chance.random)
        loaded = [parse_entry(body) for body in self.stored.values()]
        self.perform(self.machine.load(loaded))
        self.perform(self.machine.allow(is_allowed=True, now=self.now))

    # The outbox's side.

    def perform(self, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case do.SaveEntry(entry):
                    self.stored[entry.write.write_id] = render_entry(entry)
                case do.ForgetEntry(write_id):
                    self.stored.pop(write_id, None)
                case do.SendWrite(entry, is_repetition):
                    self.fly(entry, is_repetition=is_repetition)
                case do.LookForRow(entry):
                    if entry.write.row_id not in self.feed.tables[entry.write.table]:
                        self.tell(ev.RowMissing(entry.write.write_id))
                case do.ShowWrites(key, entries):
                    self.overlay.take_writes(key, entries)
                case do.ReportState(entry):
                    self.ended[entry.write.write_id] = entry.state

    def tell(self, event: Any) -> None:
        self.perform(self.machine.handle(event, self.now))

    def fly(self, entry: Entry, *, is_repetition: bool) -> None:
        api = WriteApi(StepHttp())  # type: ignore[arg-type]
        work = api.send(entry, token="t", is_repetition=is_repetition)
        self.step(Flight(entry, work, Ask(HttpRequest("GET", "/"))), None)

    def step(self, flight: Flight, answer: Any) -> None:
        try:
            if isinstance(answer, Exception):
                flight.ask = flight.work.throw(answer)
            else:
                flight.ask = flight.work.send(answer)
        except StopIteration as done:
            self.tell(done.value)
        except ConnectionLostError as error:
            self.tell(ev.WriteFailed(flight.entry.write.write_id, error))
        else:
            self.flights.append(flight)

    # The network's side.

    def execute(self, request: HttpRequest) -> Any:
        response = self.rest.answer(request, self.feed)
        if response.is_success:
            return json_text.loads(response.content)
        return error_of_answer(response, "http://x")

    def deliver(self, flight: Flight) -> None:
        self.flights.remove(flight)
        self.step(flight, self.execute(flight.ask.request))

    def disturb(self, flight: Flight) -> None:
        self.flights.remove(flight)
        fate = self.chance.randrange(3)
        if fate == 0:
            self.execute(flight.ask.request)  # in effect, and the answer is lost
        elif fate == 1:
            self.zombies.append(flight.ask.request)  # still on its way when the sender gave up
        self.step(flight, ConnectionLostError("lost"))

    def read_feed(self) -> None:
        for item in self.feed.log[self.read_n :]:
            table, row_id, row = item["table"], item["row_id"], item["row"]
            if row is not None:
                before = self.overlay.row(table, row_id)
                self.base.setdefault(table, {})[row_id] = row
                self.perform(self.machine.see_row((table, row_id), row, self.now))
                self.overlay.take_base((table, row_id), before, row)
        self.read_n = len(self.feed.log)

    # What happens.

    def submit(self) -> None:
        row_id, write_id = str(uuid.UUID(int=self.chance.getrandbits(128))), f"w{len(self.writes)}"
        kind = self.chance.choice(["message", "redeem", "phone", "address", "both"])
        scope = self.feed.scope
        if kind == "message":
            row = {"id": row_id, "customer_id": CUSTOMER, "body": write_id}
            write = Write(write_id, scope, WriteKind.INSERT, "messages", row_id, "thread", row,
                          shown={**row, "version": 0})  # fmt: skip
        elif kind == "redeem":
            points = self.chance.choice([10, 40, 200])
            values = {"id": row_id, "points": points, "reason": "x"}
            write = Write(write_id, scope, WriteKind.CALL, "loyalty_transactions", row_id, "points",
                          values, shown={"id": row_id, "points": -points, "version": 0},
                          function="redeem_points")  # fmt: skip
        else:
            shown = self.overlay.row("customers", CUSTOMER)
            if shown is None:
                return
            columns = ["phone", "address"] if kind == "both" else [kind]
            values = dict.fromkeys(columns, write_id)
            base = {column: shown[column] for column in columns}
            write = Write(write_id, scope, WriteKind.PATCH, "customers", CUSTOMER, "c", values,
                          base=base)  # fmt: skip
            row = self.base["customers"].get(CUSTOMER)
            self.perform(self.machine.see_row(("customers", CUSTOMER), row, self.now))
        self.writes.append(write)
        self.perform(self.machine.submit(write, self.now))

    def other_writer(self) -> None:
        if self.chance.random() < 0.3:
            self.award(self.chance.choice([-10, 30]))
            return
        row = self.feed.tables["customers"][CUSTOMER]
        column = self.chance.choice(["phone", "address", "name"])
        theirs = {column: f"theirs-{self.feed.n}", "version": row["version"] + 1}
        self.feed.put("customers", {**row, **theirs})

    def award(self, points: int) -> None:
        ledger = self.feed.tables["loyalty_transactions"]
        latest = max(ledger.values(), key=lambda row: row["entry_no"])
        balance = latest["balance_after"] + points
        if balance >= 0:
            entry_no = latest["entry_no"] + 1
            row = {"id": f"staff-{entry_no}", "entry_no": entry_no, "points": points}
            row |= {"balance_after": balance, "version": 1}
            self.feed.put("loyalty_transactions", row)

    def kill(self) -> None:
        for flight in self.flights:
            flight.work.close()
            if self.chance.random() < 0.5:
                self.zombies.append(flight.ask.request)
        self.start()

    def happen(self) -> None:
        roll = self.chance.random()
        if roll < 0.2:
            self.submit()
        elif roll < 0.3:
            self.other_writer()
        elif roll < 0.5 and self.flights:
            self.deliver(self.chance.choice(self.flights))
        elif roll < 0.65 and self.flights:
            self.disturb(self.chance.choice(self.flights))
        elif roll < 0.72 and self.zombies:
            self.execute(self.zombies.pop(self.chance.randrange(len(self.zombies))))
        elif roll < 0.85:
            self.read_feed()
        elif roll < 0.88:
            self.kill()
        else:
            self.now += self.chance.choice([0.01, 1.0, 20.0])
            self.perform(self.machine.handle_timer(self.now))
        self.check()

    def settle(self) -> None:
        for _ in range(3000):
            self.read_feed()
            if self.flights:
                self.deliver(self.flights[0])
            elif self.zombies:
                self.execute(self.zombies.pop())
            elif all(e.state is WriteState.REFUSED for e in self.machine.entries.values()):
                return
            else:
                self.now += 1.0
                self.perform(self.machine.handle_timer(self.now))
        raise AssertionError(f"stuck: {self.machine.entries}")

    # What must hold.

    def effects(self, write: Write) -> int:
        return sum(item["request_id"] == write.write_id for item in self.feed.log)

    def check(self) -> None:
        for write in self.writes:
            assert self.effects(write) <= 1, f"{write.write_id} took effect twice"
        assert set(self.stored) == set(self.machine.entries)
        ledger = self.overlay.rows("loyalty_transactions").values()
        assert all(row["balance_after"] >= 0 for row in ledger), "OUT-15"
        numbers = [row["entry_no"] for row in ledger]
        assert len(numbers) == len(set(numbers))

    def judge(self) -> None:
        values = [json_text.loads(json_text.dumps(item["row"])) for item in self.feed.log]
        for write in self.writes:
            state = self.ended.get(write.write_id)
            count = self.effects(write)
            if state is WriteState.REFUSED:
                assert count == 0, f"{write.write_id} was refused and is in effect"
            else:
                # A patch whose values were there already has nothing left to do.
                is_there = any(
                    all(row.get(c) == v for c, v in write.values.items()) for row in values if row
                )
                assert state is WriteState.SYNCED
                assert count == 1 or (write.kind is WriteKind.PATCH and is_there)
        for table in ("messages", "customers", "loyalty_transactions"):
            assert dict(self.overlay.rows(table)) == self.feed.tables[table]


@pytest.mark.parametrize("block", range(4))
@pytest.mark.spec("OUT-15")
@pytest.mark.spec("OUT-3")
def test_every_write_takes_effect_exactly_once_or_is_refused(block: int) -> None:
    """200 histories of 120 steps: no effect twice, none lost, the tables equal the server."""
    share = HISTORIES // 4
    refused = synced = 0
    for seed in range(block * share, (block + 1) * share):
        world = World(seed)
        for _ in range(120):
            world.happen()
        world.settle()
        world.check()
        world.judge()
        refused += sum(state is WriteState.REFUSED for state in world.ended.values())
        synced += sum(state is WriteState.SYNCED for state in world.ended.values())
    assert refused > share
    assert synced > share
