"""Start one program under another account and end it when its parent ends.

Run as a script in a process of its own (`python -I -S launcher.py …`), never imported by the
stack: changing the account needs code between fork and exec, and running Python there is not
safe in a process with threads. Only the standard library may be used here.

usage: launcher.py PARENT_PID UID GID DEATH_SIGNAL FOLDER PROGRAM [ARGUMENT …]

UID -1 keeps the account.
"""

from __future__ import annotations

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
EXIT_CANNOT_ENTER = 124
EXIT_PARENT_GONE = 125
EXIT_CANNOT_EXECUTE = 126


def main(argv: list[str]) -> int:
    """Become the program; return an exit status only if that is impossible."""
    parent_pid, uid, gid, death_signal = (int(value) for value in argv[:4])
    folder, program, arguments = argv[4], argv[5], argv[5:]
    # Loaded before the account changes: the interpreter may live where only root can read.
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if uid >= 0:
        os.setgroups([gid])
        os.setgid(gid)
        os.setuid(uid)
    if libc is not None:
        # After setuid, which clears it. The kernel keeps it over the exec below.
        libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent_pid:
        return EXIT_PARENT_GONE
    os.umask(0o077)
    try:
        os.chdir(folder)
    except OSError as error:
        sys.stderr.write(f"cannot enter {folder}: {error.strerror}\n")
        return EXIT_CANNOT_ENTER
    try:
        os.execv(program, arguments)  # noqa: S606  # becoming the program is what this is for
    except OSError as error:
        sys.stderr.write(f"cannot execute {program}: {error.strerror}\n")
    return EXIT_CANNOT_EXECUTE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
