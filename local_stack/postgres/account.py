"""Which operating-system account runs PostgreSQL.

PostgreSQL refuses to run as root. As an ordinary user it runs as that user; as root an
existing unprivileged account is borrowed, and only files that the stack itself created are
given to it.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local_stack.errors import PostgresError

if TYPE_CHECKING:
    from pathlib import Path

CANDIDATES = ("nobody", "postgres", "daemon")


@dataclass(frozen=True, slots=True)
class Account:
    """An account that PostgreSQL's processes switch to."""

    name: str
    uid: int
    gid: int


def is_root() -> bool:
    """Tell whether this process may and must switch accounts."""
    return os.geteuid() == 0


def choose_account(data: Path) -> Account | None:
    """Return the account to switch to, None to stay what we are.

    An existing database keeps the account that owns it, whatever the preference is today.

    Args:
        data: PostgreSQL's data folder; need not exist.

    Raises:
        PostgresError: This is root, and no unprivileged account exists.
    """
    if not is_root():
        return None
    try:
        owner_uid = data.stat().st_uid
    except OSError:
        owner_uid = 0
    if owner_uid != 0:
        return _account_of(owner_uid, group_fallback=data.stat().st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise PostgresError(
        "PostgreSQL refuses to run as root and none of the accounts "
        f"{', '.join(CANDIDATES)} exists. Start the stack as an ordinary user."
    )


def _account_of(uid: int, group_fallback: int) -> Account:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(f"uid {uid}", uid, group_fallback)
    return Account(entry.pw_name, uid, entry.pw_gid)


def give_to(path: Path, account: Account | None) -> None:
    """Hand a file or folder that the stack just created to the account."""
    if account is not None:
        os.chown(path, account.uid, account.gid)
