"""The SDK's own values are not assigned to. Checked by mypy and basedpyright, never run."""

from __future__ import annotations

from portal_sdk._core.events import DoorbellRang
from portal_sdk._core.feed import FeedChange


def assigning(change: FeedChange, ring: DoorbellRang) -> None:
    change.n = 2  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    ring.epoch = None  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
