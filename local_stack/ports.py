"""Addresses and TCP ports to listen on: which are free, which stay on this machine."""

from __future__ import annotations

import errno
import ipaddress
import socket

from local_stack.errors import PortForbiddenError, PortTakenError

LOOPBACK = "127.0.0.1"
HIGHEST_PORT = 65_535


def parse_host(text: str) -> str:
    """Return the address of this machine that a text names; "localhost" is the usual loopback.

    Raises:
        ValueError: It is neither an IPv4 nor an IPv6 address.
    """
    return LOOPBACK if text == "localhost" else str(ipaddress.ip_address(text))


def is_loopback(host: str) -> bool:
    """Tell whether only programs of this machine can reach an address."""
    return ipaddress.ip_address(host).is_loopback


def reachable_host(host: str) -> str:
    """Return the address under which this machine reaches a server on `host`, as URLs write it."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        return LOOPBACK if address.version == 4 else "[::1]"
    return host if address.version == 4 else f"[{host}]"


def family_of(host: str) -> socket.AddressFamily:
    """Return the socket family of an address."""
    return socket.AF_INET if ipaddress.ip_address(host).version == 4 else socket.AF_INET6


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Tell whether a server could listen on this port right now.

    Raises:
        OSError: The address is none of this machine, whatever the port.
        PortForbiddenError: This user may not listen on the port.
    """
    with socket.socket(family_of(host), socket.SOCK_STREAM) as probe:
        # As servers do it: a port in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise
            if error.errno == errno.EACCES:
                raise PortForbiddenError(port) from error
            return False
        return True


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def next_free_port(wanted: int, attempts: int = 100, host: str = LOOPBACK) -> int:
    """Return the first free port at or after `wanted`.

    Raises:
        PortTakenError: `attempts` ports in a row are taken.
        OSError: The address is none of this machine.
    """
    for port in range(wanted, min(wanted + attempts, HIGHEST_PORT + 1)):
        if is_free(port, host):
            return port
    raise PortTakenError(wanted, f"the stack, and the {attempts} after it,")
