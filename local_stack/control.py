"""What another process may do with a running stack: find it, describe it, stop it, reset it."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from local_stack.environment import environment
from local_stack.errors import FolderError, StackNotRunningError
from local_stack.folder import (
    KEYS,
    PASSWORDS,
    POSTGRES,
    FolderLock,
    StackState,
    is_locked,
    load_passwords,
    read_state,
    remove_state,
)
from local_stack.keys import ProjectKeys
from local_stack.ports import LOOPBACK, reachable_host
from local_stack.postgres.data import DataFolder
from local_stack.postgres.leftover import leftover_pid, stop_leftover

if TYPE_CHECKING:
    from pathlib import Path

POLL_S = 0.05
LEFTOVER_TIMEOUT_S = 5.0


def running_stack(folder: Path) -> StackState:
    """Return what the stack that runs on a folder says about itself.

    Raises:
        StackNotRunningError: None runs there. A state file that a killed stack left is ignored.
    """
    state = read_state(folder)
    if state is None or not is_locked(folder):
        raise StackNotRunningError(folder)
    return state


def running_environment(folder: Path) -> dict[str, str]:
    """Return the SUPABASE_* variables of the stack that runs on a folder.

    Raises:
        StackNotRunningError: None runs there, or it is still starting.
        FolderError: Its secrets belong to another user.
    """
    state = running_stack(folder)
    if state.api_port is None or state.database_port is None:
        raise StackNotRunningError(folder)
    keys = ProjectKeys.load(folder / KEYS)
    password = quote(load_passwords(folder)["postgres"], safe="")
    return environment(
        keys,
        f"http://{reachable_host(state.host)}:{state.api_port}",
        f"postgresql://postgres:{password}@{LOOPBACK}:{state.database_port}/postgres",
    )


def stop_stack(folder: Path, timeout_s: float = 20.0) -> StackState:
    """Ask the stack on a folder to stop and wait until it has.

    Raises:
        StackNotRunningError: None runs there.
        FolderError: It belongs to another user, or did not stop in time.
    """
    state = running_stack(folder)
    try:
        os.kill(state.pid, signal.SIGTERM)
    except ProcessLookupError:
        return state
    except PermissionError as error:
        raise FolderError(
            folder, f"The stack (process {state.pid}) belongs to another user; stop it as them."
        ) from error
    deadline = time.monotonic() + timeout_s
    while is_locked(folder):
        if time.monotonic() > deadline:
            raise FolderError(
                folder,
                f"The stack (process {state.pid}) did not stop within {timeout_s:g} s. "
                f"End it with `kill -9 {state.pid}`; no committed data is lost.",
            )
        time.sleep(POLL_S)
    return state


async def reset_stack(folder: Path, *, renew_keys: bool = False) -> bool:
    """Delete a folder's database for good; the next start makes a new one.

    Only files that the stack made are deleted; API keys stay, so that programs keep working.

    Args:
        folder: The data folder.
        renew_keys: Delete the API keys and signing keys too.

    Returns:
        Whether there was anything to delete.

    Raises:
        FolderInUseError: A stack runs there.
    """
    postgres = folder / POSTGRES
    present = postgres.exists()
    if not present and not (folder / KEYS).exists():
        return False
    with FolderLock(folder):
        remove_state(folder)  # of a stack that was killed: nobody may take it for this process's
        pid = await leftover_pid(DataFolder(postgres))
        if pid is not None:
            await stop_leftover(pid, LEFTOVER_TIMEOUT_S)
        if present:
            shutil.rmtree(postgres)
        (folder / PASSWORDS).unlink(missing_ok=True)
        if renew_keys:
            (folder / KEYS).unlink(missing_ok=True)
    return present


def is_ready(state: StackState, timeout_s: float = 3.0) -> bool:
    """Ask a running stack whether it can serve requests."""
    if state.api_port is None:
        return False
    host = reachable_host(state.host).strip("[]")
    connection = http.client.HTTPConnection(host, state.api_port, timeout=timeout_s)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
