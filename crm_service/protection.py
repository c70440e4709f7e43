"""The security headers of every answer."""

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
        self._always = [*_ALWAYS, *([_STRICT_TRANSPORT] if https_only else [])]

    def add_to(self, headers: list[tuple[bytes, bytes]], path: str) -> None:
        """Add them to the headers of an answer.

        Args:
            headers: Them, with names in lower case.
            path: Of the request.
        """
        if path.startswith("/v1/") and b"cache-control" not in [name for name, _ in headers]:
            headers.append(_NO_STORE)
        headers += self._always
        if not path.startswith(_DOCUMENTATION):
            headers.append(_DATA)


__all__ = ["SecurityHeaders"]
