"""A running stack in a background thread, for tests of whatever talks to it."""

from __future__ import annotations

from pathlib import Path

from local_stack.background import BackgroundStack
from local_stack.config import StackConfig

REPOSITORY = Path(__file__).resolve().parents[2]


class StackThread(BackgroundStack):
    """A running, seeded, ephemeral stack of this repository, checked to leave nothing behind."""

    def __init__(self, config: StackConfig | None = None) -> None:
        super().__init__(config or StackConfig(project_dir=REPOSITORY, template=True))

    def close(self) -> None:
        """Stop the stack and check that it left no task behind."""
        super().close()
        assert self.leftover_tasks == [], f"tasks left by the stack: {self.leftover_tasks}"
