"""The security headers of every answer."""

from collections.abc import Container, Sequence

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
        https_only: Also tell them to come back by HTTPS only.
    """

    def __init__(self, *, https_only: bool) -> None:
        self._always = (*_ALWAYS, _STRICT_TRANSPORT) if https_only else _ALWAYS
        self._of_data = (*self._always, _DATA)
        self._of_customers_data = (_NO_STORE, *self._of_data)

    def headers(self, path: str, given: Container[bytes]) -> Sequence[tuple[bytes, bytes]]:
        """Return what to add to the headers of an answer.

        Args:
            path: Of the request.
            given: Names of the headers that the answer has already, in lower case.
        """
        if path.startswith("/v1/") and b"cache-control" not in given:
            return self._of_customers_data
        return self._always if path.startswith(_DOCUMENTATION) else self._of_data


__all__ = ["SecurityHeaders"]
