"""A running stack in a background thread, for tests of whatever talks to it."""

from __future__ import annotations

import shutil
from pathlib import Path

from local_stack.background import BackgroundStack
from local_stack.config import StackConfig
from tests.support.prepared import ephemeral_copy
from tests.support.stack_folders import REPOSITORY


class StackThread(BackgroundStack):
    """A running, seeded stack of this repository, checked to leave nothing behind.

    Args:
        prepared: Folder of a stack that ran once; a copy of it is used. None makes a new one.
    """

    def __init__(self, prepared: Path | None = None) -> None:
        self._copy = ephemeral_copy(prepared) if prepared is not None else None
        super().__init__(StackConfig(data_dir=self._copy, project_dir=REPOSITORY, fsync=False))

    def close(self) -> None:
        """Stop the stack and check that it left no task behind."""
        try:
            super().close()
        finally:
            if self._copy is not None:
                shutil.rmtree(self._copy, ignore_errors=True)
        assert self.leftover_tasks == [], f"tasks left by the stack: {self.leftover_tasks}"
