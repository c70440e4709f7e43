"""Which lines a file had at the last run, kept on disk so that a restart forgets none."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

from portalctl.exits import EnvironmentUnusableError

_FORMAT = 1


def keys_of(content: bytes, key_column: str) -> set[str]:
    """Return the values of the key column of a CSV file; empty if it cannot be read."""
    try:
        rows = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        return {(row.get(key_column) or "").strip() for row in rows} - {""}
    except (UnicodeDecodeError, csv.Error):
        return set()


def default_path(*names: str) -> Path:
    """Return where the state of one import is kept: one file for each combination of names."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    mark = hashlib.sha256("\n".join(names).encode()).hexdigest()[:20]
    return Path(base) / "portalctl" / f"import-{mark}.json"


@dataclass
class KnownLines:
    """The keys of the lines that a file had at its last import.

    Keys may be addresses of people: only the owner of the file can read it.

    Args:
        path: Where they are kept; None keeps them in memory only.
    """

    path: Path | None
    _keys: set[str] | None = None

    def gone_from(self, now: set[str]) -> list[str]:
        """Return the known keys that are not among those of now, in order.

        Raises:
            EnvironmentUnusableError: What was kept cannot be read.
        """
        if self._keys is None:
            self._keys = self._read()
        return sorted(self._keys - now)

    def remember(self, now: set[str]) -> None:
        """Take these for the known ones; after a kill at any moment, the old or these are kept.

        Raises:
            EnvironmentUnusableError: They cannot be written.
        """
        self._keys = now
        if self.path is None:
            return
        text = json.dumps({"format": _FORMAT, "keys": sorted(now)})
        new = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            new.unlink(missing_ok=True)
            with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            new.replace(self.path)
        except OSError as error:
            raise EnvironmentUnusableError(
                f"{self.path} cannot be written: {error.strerror}.", "Choose another --state."
            ) from error

    def _read(self) -> set[str]:
        if self.path is None:
            return set()
        try:
            kept = json.loads(self.path.read_text())
            if kept["format"] == _FORMAT:
                return {str(key) for key in kept["keys"]}
        except FileNotFoundError:
            return set()
        except (OSError, ValueError, KeyError, TypeError):
            pass
        raise EnvironmentUnusableError(
            f"{self.path} does not hold the lines of an earlier import.",
            "Delete it to begin anew, or choose another --state.",
        )
