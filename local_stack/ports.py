"""Loopback TCP ports: which are free."""

from __future__ import annotations

import socket

from local_stack.errors import PortTakenError

LOOPBACK = "127.0.0.1"
HIGHEST_PORT = 65_535


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def next_free_port(wanted: int, attempts: int = 100) -> int:
    """Return the first free port at or after `wanted`.

    Raises:
        PortTakenError: `attempts` ports in a row are taken.
    """
    for port in range(wanted, min(wanted + attempts, HIGHEST_PORT + 1)):
        if is_free(port):
            return port
    raise PortTakenError(wanted, f"the stack, and the {attempts} after it,")
