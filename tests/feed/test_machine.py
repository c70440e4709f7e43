"""Sessions that overlap step by step never make the feed lose, repeat, reorder, leak or block."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.feed.machine import SESSIONS, World
from tests.feed.mutants import AT_THE_WRITE, NUMBERS_FROM_A_SEQUENCE
from tests.feed.steps import CUSTOMERS, ROWS, VERBS
from tests.support.cluster import MIGRATED, Database, TestCluster
from tests.support.loop_thread import LoopThread

PLACES = st.integers(0, SESSIONS - 1)
WHOSE = st.integers(0, CUSTOMERS - 1)
STEPS = st.tuples(st.sampled_from(VERBS), st.integers(0, ROWS - 1), WHOSE)
# What has an effect whatever was before.
OUTRIGHT = st.sampled_from(["add job", "say", "points", "close"])
RACES = st.lists(st.lists(STEPS, min_size=1, max_size=5), min_size=2, max_size=SESSIONS)
SHORT = settings(max_examples=8, stateful_step_count=40, derandomize=True, phases=[Phase.generate])
LONG = settings(max_examples=150, stateful_step_count=60)
QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much]


class FeedMachine(RuleBasedStateMachine):
    """What Hypothesis plays with; `url` and `thread` are set by `play`."""

    url: str
    thread: LoopThread
    naive: bool = False

    @initialize()
    def open(self) -> None:
        self.world = World(self.url, naive=self.naive)
        self.thread.call(self.world.open())

    @rule(place=PLACES, step=STEPS)
    def write(self, place: int, step: tuple[str, int, int]) -> None:
        """In the open transaction of the session, if there is one."""
        self.thread.call(self.world.step(place, step))

    @rule(place=PLACES, steps=st.lists(STEPS, min_size=1, max_size=3))
    def write_and_stay_open(self, place: int, steps: list[tuple[str, int, int]]) -> None:
        self.thread.call(self.world.begin(place))
        for step in steps:
            self.thread.call(self.world.step(place, step))

    @rule(place=PLACES, row=st.integers(0, ROWS - 1), whose=WHOSE)
    def flip_twice(self, place: int, row: int, whose: int) -> None:
        for verb in ("hide", "show", "move", "hide", "show"):
            self.thread.call(self.world.step(place, (verb, row, whose)))

    @rule(place=PLACES, immediate=st.booleans())
    def constraints(self, place: int, *, immediate: bool) -> None:
        self.thread.call(self.world.constraints(place, immediate=immediate))

    @rule(place=PLACES)
    def savepoint(self, place: int) -> None:
        self.thread.call(self.world.savepoint(place))

    @rule(place=PLACES)
    def roll_back_to(self, place: int) -> None:
        self.thread.call(self.world.roll_back_to(place))

    @rule(place=PLACES, word=st.sampled_from(["commit", "commit", "rollback"]))
    def end(self, place: int, word: str) -> None:
        self.thread.call(self.world.end(place, word))

    @rule(whose=WHOSE)
    def join(self, whose: int) -> None:
        self.thread.call(self.world.join(whose))

    @rule(whose=WHOSE, limit=st.sampled_from([1, 3, 500]))
    def read(self, whose: int, limit: int) -> None:
        self.thread.call(self.world.read(whose, limit))

    @rule(slow=OUTRIGHT, fast=OUTRIGHT, row=st.integers(1, ROWS - 1), whose=WHOSE)
    def overtake(self, slow: str, fast: str, row: int, whose: int) -> None:
        """Somebody begins first and commits last, and is read in between."""
        for place in (0, 1):
            self.thread.call(self.world.end(place, "commit"))
        self.thread.call(self.world.begin(0))
        self.thread.call(self.world.step(0, (slow, 0, whose)))
        self.thread.call(self.world.step(1, (fast, row, whose)))
        self.thread.call(self.world.read(whose, 500))
        self.thread.call(self.world.end(0, "commit"))
        self.thread.call(self.world.read(whose, 500))

    @rule(stories=RACES)
    def race(self, stories: list[list[tuple[str, int, int]]]) -> None:
        self.thread.call(self.world.race(stories))

    @invariant()
    def nothing_is_wrong(self) -> None:
        if hasattr(self, "world"):
            assert not self.world.faults, self.world.faults[:3]

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.thread.call(self.world.close())
            assert not self.world.faults, self.world.faults[:3]


def play(database: Database, how: settings, *, naive: bool = False) -> None:
    """Let Hypothesis look for a story after which the feed is wrong."""
    with_thread = LoopThread("feed machine")
    made = type(
        "Feed",
        (FeedMachine,),
        {"url": database.url, "thread": with_thread, "naive": naive},
    )
    try:
        run_state_machine_as_test(
            made, settings=settings(how, deadline=None, suppress_health_check=QUIET)
        )
    finally:
        with_thread.close()


async def prepare(database: Database, mutation: str = "") -> None:
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute(f'alter database "{database.name}" set deadlock_timeout = 20')
    if mutation:
        await admin.execute(mutation)
    await admin.close()


@pytest.fixture
def stage(cluster: TestCluster) -> Iterator[Database]:
    database = cluster.clone(MIGRATED, "machine")
    yield database
    cluster.drop(database)


# Without shrinking: that there is such a story is what counts.
FIND = settings(SHORT, max_examples=60, phases=[Phase.generate])


def test_overlapping_sessions_leave_a_right_feed_at_every_moment(stage: Database) -> None:
    asyncio.run(prepare(stage))
    play(stage, SHORT)


@pytest.mark.soak
def test_overlapping_sessions_leave_a_right_feed_for_long(stage: Database) -> None:
    asyncio.run(prepare(stage))
    play(stage, LONG)


def test_a_counter_that_is_not_deferred_turns_the_machine_red(stage: Database) -> None:
    """It is taken at the write and kept until the end: writers to one customer wait."""
    asyncio.run(prepare(stage, AT_THE_WRITE))
    with pytest.raises(AssertionError, match="waited, but nobody holds"):
        play(stage, FIND)


def test_a_naive_cursor_over_a_sequence_turns_the_machine_red(stage: Database) -> None:
    """A number drawn earlier may become visible later, behind the cursor: lost for good."""
    asyncio.run(prepare(stage, NUMBERS_FROM_A_SEQUENCE))
    with pytest.raises(AssertionError, match="or rows differ"):
        play(stage, FIND, naive=True)
