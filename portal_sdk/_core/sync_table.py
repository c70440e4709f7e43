"""The total state x event table of the SyncMachine (docs/protocol/sync.md)."""

from __future__ import annotations

import enum

from portal_sdk._core.events import (
    HeadAnswered,
    HeadWanted,
    PullAnswered,
    Rang,
    RequestFailed,
    SnapshotAnswered,
    SyncStarted,
    SyncStopped,
)
from portal_sdk._core.rules import Rule, Table


class FeedState(enum.StrEnum):
    """What the SyncMachine is doing about the rows."""

    STOPPED = "stopped"
    SNAPSHOTTING = "snapshotting"
    PULLING = "pulling"
    CURRENT = "current"
    WAITING = "waiting"


SyncEvent = (
    SyncStarted
    | SyncStopped
    | Rang
    | HeadWanted
    | SnapshotAnswered
    | PullAnswered
    | HeadAnswered
    | RequestFailed
)

_S = FeedState


def _rule(action: str, spec: str, *targets: FeedState) -> Rule[FeedState]:
    return Rule(action, frozenset(targets), spec)


def _ignore(state: FeedState, spec: str) -> Rule[FeedState]:
    return _rule("ignore", spec, state)


_AFTER_ROWS = (_S.SNAPSHOTTING, _S.PULLING, _S.CURRENT)

SYNC_TABLE: Table[FeedState] = {
    _S.STOPPED: {
        SyncStarted: _rule("begin", "SYNC-1", _S.SNAPSHOTTING, _S.PULLING),
        SyncStopped: _ignore(_S.STOPPED, "SYNC-16"),
        Rang: _ignore(_S.STOPPED, "SYNC-1"),
        HeadWanted: _ignore(_S.STOPPED, "SYNC-16"),
        SnapshotAnswered: _ignore(_S.STOPPED, "SYNC-4"),
        PullAnswered: _ignore(_S.STOPPED, "SYNC-4"),
        HeadAnswered: _ignore(_S.STOPPED, "SYNC-4"),
        RequestFailed: _ignore(_S.STOPPED, "SYNC-4"),
    },
    _S.SNAPSHOTTING: {
        SyncStarted: _rule("read_again_later", "SYNC-3", _S.SNAPSHOTTING),
        SyncStopped: _rule("stop", "SYNC-16", _S.STOPPED),
        Rang: _rule("note_ring", "SYNC-3", _S.SNAPSHOTTING),
        HeadWanted: _rule("ask_head", "SYNC-10", _S.SNAPSHOTTING),
        SnapshotAnswered: _rule("take_snapshot", "SYNC-7", _S.PULLING, _S.CURRENT),
        PullAnswered: _ignore(_S.SNAPSHOTTING, "SYNC-4"),
        HeadAnswered: _ignore(_S.SNAPSHOTTING, "SYNC-10"),
        RequestFailed: _rule("fail", "SYNC-14", _S.WAITING, _S.SNAPSHOTTING),
    },
    _S.PULLING: {
        SyncStarted: _rule("read_again_later", "SYNC-3", _S.PULLING),
        SyncStopped: _rule("stop", "SYNC-16", _S.STOPPED),
        Rang: _rule("note_ring", "SYNC-3", _S.PULLING),
        HeadWanted: _rule("ask_head", "SYNC-10", _S.PULLING),
        SnapshotAnswered: _ignore(_S.PULLING, "SYNC-4"),
        PullAnswered: _rule("take_page", "SYNC-6", *_AFTER_ROWS),
        HeadAnswered: _rule("note_head", "SYNC-10", _S.PULLING),
        RequestFailed: _rule("fail", "SYNC-14", _S.WAITING, _S.PULLING),
    },
    _S.CURRENT: {
        SyncStarted: _rule("begin", "SYNC-1", _S.PULLING),
        SyncStopped: _rule("stop", "SYNC-16", _S.STOPPED),
        Rang: _rule("pull_if_news", "SYNC-12", _S.PULLING, _S.CURRENT),
        HeadWanted: _rule("ask_head", "SYNC-10", _S.CURRENT),
        SnapshotAnswered: _ignore(_S.CURRENT, "SYNC-4"),
        PullAnswered: _ignore(_S.CURRENT, "SYNC-4"),
        HeadAnswered: _rule("compare_head", "SYNC-10", *_AFTER_ROWS),
        RequestFailed: _rule("fail", "SYNC-14", _S.CURRENT),
    },
    _S.WAITING: {
        SyncStarted: _rule("begin", "SYNC-14", _S.SNAPSHOTTING, _S.PULLING),
        SyncStopped: _rule("stop", "SYNC-16", _S.STOPPED),
        Rang: _rule("note_ring", "SYNC-14", _S.WAITING),
        HeadWanted: _rule("ask_head", "SYNC-10", _S.WAITING),
        SnapshotAnswered: _ignore(_S.WAITING, "SYNC-4"),
        PullAnswered: _ignore(_S.WAITING, "SYNC-4"),
        HeadAnswered: _rule("begin", "SYNC-14", _S.SNAPSHOTTING, _S.PULLING),
        RequestFailed: _rule("fail", "SYNC-14", _S.WAITING),
    },
}
