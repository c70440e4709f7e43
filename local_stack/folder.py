"""The stack's folder on disk: its lock, its state file, its secrets, temporary ones.

::

    <folder>/stack.lock        held (flock) by the running stack; says nothing by existing
    <folder>/stack.json        pid, ports, start, version; removed at a clean stop
    <folder>/keys.json         API keys and signing keys, mode 0600
    <folder>/keys.lock         held (flock) while the signing keys are changed
    <folder>/passwords.json    passwords of the database roles, mode 0600
    <folder>/stack.log         the servers' log
    <folder>/postgres/         the database and its log
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Self

from local_stack.errors import FolderError, FolderInUseError
from local_stack.locations import temporary_parent
from local_stack.ports import LOOPBACK
from local_stack.postgres.account import is_root

LOCK = "stack.lock"
STATE = "stack.json"
KEYS = "keys.json"
PASSWORDS = "passwords.json"
LOG = "stack.log"
POSTGRES = "postgres"
EPHEMERAL_PREFIX = "portal-sync-"
ABANDONED_AFTER_S = 60
LOGIN_ROLES = ("supabase_admin", "postgres", "authenticator", "supabase_auth_admin")


@dataclass(frozen=True, slots=True)
class StackState:
    """What a running stack tells about itself; holds no secrets."""

    pid: int
    api_port: int | None
    database_port: int | None
    started_at: str
    version: str
    ephemeral: bool = False
    host: str = LOOPBACK
    troubles: tuple[str, ...] = ()


def make_folder(path: Path) -> None:
    """Make the stack's folder where it does not exist; never change one that does.

    Raises:
        FolderError: It cannot be made or written.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # As root, another account runs PostgreSQL and has to pass through.
            path.mkdir(mode=0o700)
            if is_root():
                path.chmod(0o711)
    except OSError as error:
        file = next((above for above in path.parents if above.is_file()), None)
        why = error.strerror if file is None else f"{file} is a file"
        raise FolderError(
            path,
            f"The data folder {path} cannot be made: {why}. "
            "Name a folder that you may write with --data.",
        ) from error
    if not path.is_dir():
        raise FolderError(path, f"{path} is not a folder. Name a folder with --data.")
    if not os.access(path, os.W_OK | os.X_OK):
        raise FolderError(
            path,
            f"The data folder {path} belongs to another user and cannot be written. "
            "Name a folder of yours with --data.",
        )


class FolderLock:
    """Exclusive use of one folder; the kernel gives it back however the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            FolderInUseError: Another process has it.
            FolderError: The lock file cannot be written.
        """
        try:
            # Not inherited by child processes, so a server left over does not hold it.
            file = (self._path / LOCK).open("a")
        except OSError as error:
            raise FolderError(
                self._path,
                f"The data folder {self._path} cannot be used: {error.strerror}. "
                "Name a folder of yours with --data.",
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            state = read_state(self._path)
            raise FolderInUseError(
                self._path,
                pid=state.pid if state else None,
                api_port=state.api_port if state else None,
                database_port=state.database_port if state else None,
            ) from error
        self._file = file

    def release(self) -> None:
        """Give the lock back; does nothing without it."""
        if self._file is not None:
            self._file.close()
            self._file = None


def is_locked(path: Path) -> bool:
    """Tell whether a stack runs on this folder."""
    try:
        file = (path / LOCK).open("r+")
    except OSError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


def read_state(path: Path) -> StackState | None:
    """Return what the stack on this folder wrote about itself, None when it wrote nothing."""
    try:
        facts = json.loads((path / STATE).read_text(encoding="utf-8"))
        return StackState(**{**facts, "troubles": tuple(facts.get("troubles", ()))})
    except (OSError, ValueError, TypeError):
        return None


def write_state(path: Path, state: StackState) -> None:
    """Replace the state file in one step."""
    _write_in_one_step(path / STATE, json.dumps(asdict(state), indent=2) + "\n", mode=0o644)


def remove_state(path: Path) -> None:
    """Remove the state file, at a clean stop."""
    (path / STATE).unlink(missing_ok=True)


def load_passwords(path: Path) -> dict[str, str]:
    """Return the passwords of the folder's login roles; make them on first use.

    Raises:
        FolderError: The file is damaged or belongs to someone else.
    """
    file = path / PASSWORDS
    try:
        if not file.exists():
            made = {role: secrets.token_urlsafe(24) for role in LOGIN_ROLES}
            _write_in_one_step(file, json.dumps(made, indent=2) + "\n", mode=0o600)
        found = json.loads(file.read_text(encoding="utf-8"))
        return {role: str(found[role]) for role in LOGIN_ROLES}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FolderError(
            path,
            f"The password file {file} cannot be used ({type(error).__name__}). "
            "Restore it from a backup, or start over with `portalctl reset --yes`.",
        ) from error


def _write_in_one_step(file: Path, text: str, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def make_ephemeral(parent: Path | None = None) -> Path:
    """Make a temporary stack folder; remove the ones that killed stacks left there.

    Args:
        parent: Where; default: the temporary folder, if the database account can enter it.
    """
    root = parent or temporary_parent()
    for stale in root.glob(f"{EPHEMERAL_PREFIX}*"):
        if _is_abandoned(stale):
            shutil.rmtree(stale, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=EPHEMERAL_PREFIX, dir=root))
    if is_root():
        made.chmod(0o711)
    return made


def _is_abandoned(path: Path) -> bool:
    with contextlib.suppress(OSError):
        ours = path.is_dir() and not path.is_symlink() and path.lstat().st_uid == os.geteuid()
        # A new one has no lock file yet, or one that is about to be locked.
        age_s = time.time() - (path / LOCK).stat().st_mtime
        return ours and age_s > ABANDONED_AFTER_S and not is_locked(path)
    return False
