"""Where things are by default: the data folder and the project's SQL."""

from __future__ import annotations

import hashlib
import re
import stat
import tempfile
from pathlib import Path

from local_stack.postgres.account import is_root
from local_stack.postgres.binaries import ROOT_HOME

DATA_FOLDER = ".portal-sync"


def default_data_dir(current: Path) -> Path:
    """Return the data folder of a stack started in the folder `current`.

    It is `.portal-sync` in there. Root cannot keep a database below a private folder, because
    PostgreSQL runs as another account; then it is a folder of that project under /var/lib.
    """
    if not is_root() or everyone_may_enter(current):
        return current / DATA_FOLDER
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", current.name) or "root"
    digest = hashlib.sha256(str(current.resolve()).encode()).hexdigest()[:8]
    return ROOT_HOME / "stacks" / f"{name}-{digest}"


def temporary_parent() -> Path:
    """Return a folder for temporary stacks, which the database account can enter."""
    usual = Path(tempfile.gettempdir())
    if not is_root():
        return usual
    for candidate in (usual, Path("/tmp"), Path("/var/tmp")):  # noqa: S108  # only parents of mkdtemp
        if candidate.is_dir() and everyone_may_enter(candidate):
            return candidate
    return usual


def everyone_may_enter(path: Path) -> bool:
    """Tell whether any account can pass through this folder and all above it."""
    resolved = path.resolve()
    for folder in (resolved, *resolved.parents):
        try:
            if not folder.stat().st_mode & stat.S_IXOTH:
                return False
        except FileNotFoundError:
            continue
        except OSError:
            return False
    return True
