"""One header of a request, without building the mapping of all."""

from starlette.types import Scope


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first value of a header; None if it is absent.

    Args:
        scope: Of an HTTP request.
        name: In lower case, as ASGI servers give them.
    """
    for given, value in scope["headers"]:
        if given == name:
            return str(value, "latin-1")
    return None
