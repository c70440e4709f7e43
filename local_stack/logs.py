"""Read the logs of a data folder: their ends, and what is added to them."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from local_stack.errors import FolderError
from local_stack.folder import LOG, POSTGRES
from local_stack.postgres.cluster import POSTGRES_LOG

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FOLLOW_POLL_S = 0.2


class FolderLogs:
    """The servers' log and PostgreSQL's; remembers how far each has been read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = (_LogFile(folder / LOG), _LogFile(folder / POSTGRES / POSTGRES_LOG))

    def tails(self, lines: int) -> dict[Path, list[str]]:
        """Return the last lines, by file.

        Raises:
            FolderError: No stack has ever run there.
        """
        found = {one.path: one.new_lines()[-lines:] for one in self._files if one.path.exists()}
        if not found:
            text = f"There is no log in {self._folder}: no stack has run there yet."
            raise FolderError(self._folder, text)
        return found

    def follow(self) -> Iterator[tuple[Path, str]]:
        """Yield the lines that have not been read yet and those to come, with their file.

        Never ends by itself: a stack that is stopped may be started again. Rotated, removed and
        new files are followed too; a line is yielded once it is complete.
        """
        while True:
            found = [(one.path, line) for one in self._files for line in one.new_lines()]
            yield from found
            if not found:
                time.sleep(FOLLOW_POLL_S)


class _LogFile:
    """One file that is read as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._inode: int | None = None
        self._offset_bytes = 0
        self._rest = b""

    def new_lines(self) -> list[str]:
        try:
            with self.path.open("rb") as file:
                facts = os.fstat(file.fileno())
                if facts.st_ino != self._inode or facts.st_size < self._offset_bytes:
                    self._inode, self._offset_bytes, self._rest = facts.st_ino, 0, b""
                file.seek(self._offset_bytes)
                data = file.read()
        except FileNotFoundError:
            return []
        self._offset_bytes += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]
