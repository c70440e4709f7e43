"""Run a Python module that stops when its parent is gone.

usage: python -m portalctl.demo.child PARENT_PID MODULE [ARGUMENT …]

Standard library only. Where the kernel cannot tell a child about its parent, the module just runs.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Ask for SIGTERM when the parent dies, even by SIGKILL, then become the module."""
    parent, module, *rest = arguments
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        # It may have died before it was asked about.
        if os.getppid() != int(parent):
            sys.exit("the process that asked for this server is gone")
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
