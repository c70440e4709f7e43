"""Pure ASGI middleware that adds security headers to every answer."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-site",
}
# The documentation page loads scripts and styles; everything else is data.
_DOCUMENTATION = ("/docs", "/openapi.json")
_DATA = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}
_STRICT_TRANSPORT = "max-age=31536000; includeSubDomains"


class SecurityHeaders:
    """Tell browsers to guess, frame, keep and leak nothing.

    Args:
        app: Whose answers.
        https_only: Also tell them to come back by HTTPS only.
    """

    def __init__(self, app: ASGIApp, *, https_only: bool) -> None:
        self._app = app
        self._https_only = https_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._protect(MutableHeaders(scope=message), scope["path"])
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _protect(self, headers: MutableHeaders, path: str) -> None:
        headers.update(_ALWAYS)
        if not path.startswith(_DOCUMENTATION):
            headers.update(_DATA)
        if path.startswith("/v1/"):
            # Customers' data is not for shared or disk caches.
            headers.setdefault("Cache-Control", "no-store")
        if self._https_only:
            headers["Strict-Transport-Security"] = _STRICT_TRANSPORT
