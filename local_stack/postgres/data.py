"""The state of a PostgreSQL data folder, and what may be done with it.

A folder `postgres/` of the stack holds `data/` (PostgreSQL's own) and `complete.json`, written
once `data/` has been made. The marker is what tells a folder in which `initdb` was killed from a
database that was lost later: the first is set aside, the second is never touched.
"""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from local_stack.errors import DamagedDataError, DataVersionError

if TYPE_CHECKING:
    from pathlib import Path

MARKER = "complete.json"
DATA = "data"
ESSENTIAL = ("PG_VERSION", "global/pg_control", "pg_wal", "base")


class DataState(enum.Enum):
    """What a data folder is good for."""

    ABSENT = "absent"
    HALF_WRITTEN = "half-written"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The folder `postgres/` of one stack."""

    root: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder (PGDATA)."""
        return self.root / DATA

    @property
    def marker(self) -> Path:
        """The file that says that `data` was made completely."""
        return self.root / MARKER

    def inspect(self, major: str) -> DataState:
        """Tell what is there.

        Args:
            major: PostgreSQL's major version that is going to run, such as "18".

        Raises:
            DamagedDataError: It was complete once and is not any more.
            DataVersionError: It was made by another major version.
        """
        if not self.marker.exists():
            begun = self.data.exists() and any(self.data.iterdir())
            return DataState.HALF_WRITTEN if begun else DataState.ABSENT
        for name in ESSENTIAL:
            if not (self.data / name).exists():
                raise DamagedDataError(self.root, f"{DATA}/{name}")
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != major:
            raise DataVersionError(self.root, found=found, wanted=major)
        return DataState.COMPLETE

    def mark_complete(self, version: str) -> None:
        """Record that the database was made; from now on it is never set aside."""
        facts = {"postgres": version, "made_at": datetime.now(UTC).isoformat()}
        partial = self.marker.with_suffix(".partial")
        partial.write_text(json.dumps(facts) + "\n")
        partial.rename(self.marker)

    def set_aside(self) -> Path:
        """Move a half-written database out of the way and return where it went."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        return self.data.rename(self.root / f"{DATA}.half-written-{stamp}")
