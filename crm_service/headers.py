"""Headers of a request by name, without building Starlette's mapping of them."""

from collections.abc import Mapping

from starlette.types import Scope

_KEY = "crm_service.headers"


def first_headers(scope: Scope) -> Mapping[bytes, bytes]:
    """Return the first value of each header, as it came; names in lower case.

    Each layer looks for one or two: the mapping is made once per request.

    Args:
        scope: Of an HTTP request.
    """
    known: Mapping[bytes, bytes] | None = scope.get(_KEY)
    if known is None:
        # Reversed, because of two with one name the latter would stay.
        known = scope[_KEY] = dict(reversed(scope["headers"]))
    return known


def header(scope: Scope, name: bytes) -> str | None:
    """Return the first value of a header; None if it is absent.

    Args:
        scope: Of an HTTP request.
        name: In lower case, as ASGI servers give them.
    """
    value = first_headers(scope).get(name)
    return None if value is None else value.decode("latin-1")
