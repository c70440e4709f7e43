"""An answer that is printed already."""

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class PrintedResponse(Response):
    """JSON that only has to leave, over HTTP.

    What a ``Response`` works out is known here, but for the length, which is told when it leaves.

    Args:
        text: The JSON, which may also be set later, as ``body``.
        headers: Further ones, with names in lower case.
    """

    media_type = "application/json"

    def __init__(  # pyright: ignore[reportMissingSuperCall] - that it is left out is the point
        self, text: bytes = b"", *headers: tuple[bytes, bytes]
    ) -> None:
        self.status_code = 200
        self.background = None
        self.body = text
        self.raw_headers = [(b"content-type", b"application/json"), *headers]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send it."""
        length = (b"content-length", str(len(self.body)).encode())
        headers = [length, *self.raw_headers]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


__all__ = ["PrintedResponse"]
