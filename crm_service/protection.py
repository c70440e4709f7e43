"""Pure ASGI middleware that adds security headers to every answer."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-site"),
)
# The documentation page loads scripts and styles; everything else is data.
_DOCUMENTATION = ("/docs", "/openapi.json")
_DATA = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
# Customers' data is not for shared or disk caches.
_NO_STORE = (b"cache-control", b"no-store")
_STRICT_TRANSPORT = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class SecurityHeaders:
    """Tell browsers to guess, frame, keep and leak nothing.

    Args:
        app: Whose answers.
        https_only: Also tell them to come back by HTTPS only.
    """

    def __init__(self, app: ASGIApp, *, https_only: bool) -> None:
        self._app = app
        self._always = [*_ALWAYS, *([_STRICT_TRANSPORT] if https_only else [])]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._protect(message["headers"], scope["path"])
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _protect(self, headers: list[tuple[bytes, bytes]], path: str) -> None:
        if path.startswith("/v1/") and b"cache-control" not in [name for name, _ in headers]:
            headers.append(_NO_STORE)
        headers += self._always
        if not path.startswith(_DOCUMENTATION):
            headers.append(_DATA)
