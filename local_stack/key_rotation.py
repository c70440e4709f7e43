"""Rotating the signing keys of a folder, from outside of the stack that runs on it.

The key file is the one truth: whoever rotates replaces it under a lock, and the running stack
follows within a second. Nothing is restarted and nobody is signed out.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import http.client
import json
import logging
import time
from typing import TYPE_CHECKING, Any

from local_stack.control import running_stack
from local_stack.errors import FolderError, StackNotRunningError
from local_stack.folder import KEYS
from local_stack.keys import KeyFileError, ProjectKeys, SigningKey
from local_stack.ports import reachable_host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = logging.getLogger("local_stack.keys")

KEYS_LOCK = "keys.lock"
FOLLOW_PAUSE_S = 0.5
FileVersion = tuple[int, int]
"""Inode and time of change."""
POLL_S = 0.05


def signing_keys(folder: Path) -> tuple[SigningKey, ...]:
    """Return the signing keys of a folder, oldest first.

    Raises:
        FolderError: There are none.
        KeyFileError: They cannot be used.
    """
    return _load(folder).signing_keys


def rotate(folder: Path) -> SigningKey:
    """Let the standby key sign from now on and make a new standby key.

    Tokens of the key before stay good until they expire.

    Returns:
        The key that is in use now.

    Raises:
        FolderError: There are no keys.
        KeyFileError: They cannot be used.
    """
    with _changing(folder) as keys:
        return keys.rotate()


def revoke(folder: Path, kid: str) -> None:
    """Refuse every token of a key from now on.

    Raises:
        FolderError: There are no keys.
        KeyFileError: They cannot be used.
        KeyStateError: There is no such key, or it is in use: rotate first.
    """
    with _changing(folder) as keys:
        keys.revoke(kid)


def _load(folder: Path) -> ProjectKeys:
    if not (folder / KEYS).exists():
        raise FolderError(
            folder,
            f"There are no keys in {folder}. Make them by starting a stack with `portalctl up`, or "
            "name the folder of one with --data.",
        )
    return ProjectKeys.load(folder / KEYS)


@contextlib.contextmanager
def _changing(folder: Path) -> Iterator[ProjectKeys]:
    """Lend the keys of a folder and save them; two changes at once follow each other."""
    _load(folder)  # first, so that no lock is left in a foreign folder
    try:
        lock = (folder / KEYS_LOCK).open("a")
    except OSError as error:
        raise KeyFileError(folder / KEYS, error.strerror or type(error).__name__) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        keys = ProjectKeys.load(folder / KEYS)
        yield keys
        keys.save(folder / KEYS)


def wait_until_followed(folder: Path, timeout_s: float = 10.0) -> bool:
    """Wait until the stack that runs on a folder publishes its keys as they are now.

    Returns:
        Whether a stack runs there; without one there is nothing to wait for.

    Raises:
        FolderError: It did not follow in time.
    """
    try:
        state = running_stack(folder)
    except StackNotRunningError:
        return False
    if state.api_port is None:
        return False
    host = reachable_host(state.host).strip("[]")
    deadline = time.monotonic() + timeout_s
    # Read anew each time: somebody else may change them meanwhile.
    while ProjectKeys.load(folder / KEYS).jwks() != _published(host, state.api_port):
        if time.monotonic() > deadline:
            raise FolderError(
                folder,
                f"The keys in {folder} were changed, but the stack (process {state.pid}) does not "
                "use them yet. See `portalctl logs`, or start it again.",
            )
        time.sleep(POLL_S)
    return True


def _published(host: str, port: int) -> Any:
    connection = http.client.HTTPConnection(host, port, timeout=3)
    try:
        connection.request("GET", "/auth/v1/.well-known/jwks.json")
        return json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


async def follow(file: Path, keys: ProjectKeys, seen: FileVersion | None) -> None:
    """Take over what others write into the key file, until cancelled.

    Args:
        file: Of the running stack's folder.
        keys: What its servers use. A file that cannot be used is logged, and changes nothing.
        seen: `file_version` of the file just before `keys` were read from it.
    """
    while True:
        await asyncio.sleep(FOLLOW_PAUSE_S)
        version = file_version(file)
        if version == seen:
            continue
        seen = version
        try:
            is_changed = keys.adopt(ProjectKeys.load(file))
        except KeyFileError as error:
            _log.error("The signing keys stay as they were: %s", error)
        else:
            if is_changed:
                _log.warning("The signing keys were changed; %s signs now.", _signer(keys))


def _signer(keys: ProjectKeys) -> str:
    return "the legacy secret" if keys.current is None else keys.current.kid


def file_version(file: Path) -> FileVersion | None:
    """Return what changes when the file is replaced; None if there is none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
