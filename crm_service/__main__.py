"""``python -m crm_service``: serve until Ctrl-C or SIGTERM."""

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import sys
from functools import partial
from types import FrameType
from typing import Any, cast

import uvicorn
from pydantic import ValidationError

from crm_service.app import create_app
from crm_service.observability import configure_logging
from crm_service.protection import SecurityHeaders
from crm_service.protocol import ServiceProtocol
from crm_service.settings import Settings

_GRACE_S = 10
_BACKLOG = 2048
_EXIT_USAGE = 2
_MAX_UNREAD_S = 24 * 3600
_YOUNG_OBJECTS, _YOUNG_ROUNDS, _OLD_ROUNDS = 10_000, 20, 20
_EXIT_PORT_TAKEN = 3


def main() -> int:
    """Run the service; return the exit code: 0 stopped, 2 bad settings, 3 port not available."""
    try:
        settings = Settings()  # pyright: ignore[reportCallIssue] - read from the environment
    except ValidationError as error:
        sys.stderr.write(render_settings_error(error))
        return _EXIT_USAGE
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(
            "crm_service cannot start: .env cannot be read as text in UTF-8 "
            f"({type(error).__name__}). Write it anew, or take it away.\n"
        )
        return _EXIT_USAGE
    try:
        listener = _listen(settings.host, settings.port, unread_s=settings.body_pause_s)
    except OSError as error:
        sys.stderr.write(_render_listen_error(settings.host, settings.port, error))
        return _EXIT_PORT_TAKEN
    configure_logging(settings.log_level)
    host, port = listener.getsockname()[:2]
    address = _render_address(host, port)
    sys.stderr.write(f"crm_service listens on http://{address} (documentation: /docs)\n")
    app = create_app(settings)
    _spare_garbage_collector()
    protocol = partial(
        ServiceProtocol,
        head_s=settings.body_pause_s,
        protection=SecurityHeaders(https_only=settings.environment == "production"),
        metrics=app.state.metrics,
    )
    config = uvicorn.Config(
        app,
        # Called as a class is.
        http=cast("Any", protocol),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # The caller's address is neither used nor logged.
        proxy_headers=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    # Uvicorn raises the signal again after it has shut down in order, which is a clean end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with contextlib.suppress(KeyboardInterrupt):
        _Server(config, app.state.stopping).run(sockets=[listener])
    return 0


def _spare_garbage_collector() -> None:
    """Let it look at requests' objects, and not again and again at the application's own.

    Routes and models are some hundred thousand objects that live as long as the process.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _YOUNG_ROUNDS, _OLD_ROUNDS)


class _Server(uvicorn.Server):
    """A server that tells endless answers to end before it waits for the others."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle Ctrl-C and SIGTERM."""
        self._stopping.set()
        super().handle_exit(sig, frame)


def render_settings_error(error: ValidationError) -> str:
    """Say which settings are missing or wrong, without their values."""
    lines = ["crm_service cannot start. Correct the environment or .env:"]
    for entry in error.errors(include_input=False, include_url=False):
        name = ".".join(str(part) for part in entry["loc"])
        message = entry["msg"].removeprefix("Value error, ")
        lines.append(f"  {name}: {message}" if name else f"  {message}")
    return "\n".join(lines) + "\n"


def _render_listen_error(host: str, port: int, error: OSError) -> str:
    advice = "Stop what uses the port, or set CRM_PORT (0 takes a free one)."
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        advice = "Set CRM_HOST to an address of this machine (0.0.0.0 means all)."
    reason = error.strerror or error
    return f"crm_service cannot listen on {_render_address(host, port)} ({reason}). {advice}\n"


def _render_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listen(host: str, port: int, *, unread_s: float) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only for sockets that say
    # they are TCP; without it every answer waits 40 ms for the peer's delayed acknowledgement.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            # Its connections have it, too: who does not read an answer would keep it here for ever.
            unread_ms = int(min(unread_s, _MAX_UNREAD_S) * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, unread_ms))
        listener.bind((host, port))
        # Listen before the address is announced: early callers queue instead of being refused.
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


if __name__ == "__main__":
    sys.exit(main())
