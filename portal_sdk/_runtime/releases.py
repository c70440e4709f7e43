"""Store files that a closing portal of this event loop has not released yet.

Closing takes a moment, and whoever waits for it may be cancelled; it goes on all the same. The next
portal on the same file waits for that instead of being told that the file is in use.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from portal_sdk._store import SqliteStore, Store

_closing: dict[Path, asyncio.Task[None]] = {}


def note_release(store: Store, task: asyncio.Task[None]) -> None:
    """Remember that this task is going to release the store, until it is done."""
    path = _path_of(store)
    if path is None or task.done():
        return
    _closing[path] = task

    def forget(ended: asyncio.Task[None]) -> None:
        if _closing.get(path) is ended:
            del _closing[path]

    task.add_done_callback(forget)


async def wait_for_release(store: Store, timeout_s: float) -> None:
    """Wait until no portal of this loop is releasing the same file, or the time is over.

    Cancellation:
        Safe.
    """
    path = _path_of(store)
    task = None if path is None else _closing.get(path)
    if task is not None and task.get_loop() is asyncio.get_running_loop():
        await asyncio.wait([task], timeout=timeout_s)


def _path_of(store: Store) -> Path | None:
    return store.path.resolve() if isinstance(store, SqliteStore) else None
