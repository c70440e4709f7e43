"""Steps of the tests of single rules: a sync machine, and what it is told."""

from __future__ import annotations

from typing import Any

from portal_sdk._core import effects as do
from portal_sdk._core import events as ev
from portal_sdk._core.feed import FeedChange, Head, PullPage, Snapshot
from portal_sdk._core.sync import SyncMachine
from portal_sdk._core.sync_table import FeedState
from portal_sdk.config import PortalConfig

CONFIG = PortalConfig()
EMPTY = {"jobs": (0, "0" * 15)}


def upsert(n: int, row_id: str = "j", version: int | None = None) -> FeedChange:
    return FeedChange(n, "jobs", row_id, False, {"id": row_id, "version": version or n})


def page(n: int, *changes: FeedChange, **more: Any) -> PullPage:
    return PullPage("e", n, changes, **more)


def machine(n: int = 0, tables: Any = None) -> SyncMachine:
    """A machine that was stopped with a stored cursor."""
    made = SyncMachine("customer:1", CONFIG, lambda: 0.5)
    made.load("e", n, tables or {"jobs": {}})
    return made


def current(n: int = 0, tables: Any = None) -> SyncMachine:
    made = machine(n, tables)
    answer(made, made.handle(ev.SyncStarted(), 0.0), page(n))
    assert made.state is FeedState.CURRENT
    return made


def asked(effects: Any, kind: type = do.RequestPull) -> Any:
    found = [effect for effect in effects if isinstance(effect, kind)]
    assert len(found) == 1, effects
    return found[0]


def answer(made: SyncMachine, effects: Any, value: Any, now: float = 0.0) -> list[Any]:
    kinds = {PullPage: (do.RequestPull, ev.PullAnswered), Head: (do.RequestHead, ev.HeadAnswered),
             Snapshot: (do.RequestSnapshot, ev.SnapshotAnswered)}  # fmt: skip
    kind, event = kinds[type(value)]
    return made.handle(event(asked(effects, kind).request, value), now)


def published(effects: Any) -> list[Any]:
    return [c for e in effects if isinstance(e, do.PublishChanges) for c in e.changes]
