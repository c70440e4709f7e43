"""An answer that is printed already."""

from starlette.responses import Response


class PrintedResponse(Response):
    """JSON that only has to leave.

    What the constructor of a ``Response`` works out is known here.

    Args:
        text: The JSON.
        headers: Further ones, with names in lower case.
    """

    media_type = "application/json"

    def __init__(  # pyright: ignore[reportMissingSuperCall] - that it is left out is the point
        self, text: bytes, *headers: tuple[bytes, bytes]
    ) -> None:
        self.status_code = 200
        self.background = None
        self.body = text
        self.raw_headers = [
            (b"content-length", str(len(text)).encode()),
            (b"content-type", b"application/json"),
            *headers,
        ]


__all__ = ["PrintedResponse"]
