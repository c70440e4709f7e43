"""Optimistic concurrency over HTTP: ``ETag``, ``If-Match`` and ``version``; pure."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from crm_service.errors import (
    InvalidRequestError,
    PreconditionFailedError,
    StaleVersionError,
    VersionRequiredError,
)

_ETAG = re.compile(r'"(0|[1-9][0-9]{0,17})"')
ETAG_PATTERN = rf"^({_ETAG.pattern}|\*)$"
"""What ``If-Match`` may be."""


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that the caller and somebody else changed to different values.

    Attributes:
        yours: What this request would write.
        theirs: What is stored now.
        base: What was stored in the version the request is based on.
        changed_by: Who changed it last.
        changed_at: When, ISO 8601.
    """

    field: str
    yours: Any
    theirs: Any
    base: Any
    changed_by: str | None
    changed_at: str | None


@dataclass(frozen=True, slots=True)
class Expected:
    """The version a change is based on.

    Attributes:
        version: None accepts whatever is there.
        by_header: The caller used If-Match, so a mismatch is 412 instead of 409.
    """

    version: int | None
    by_header: bool = False

    def stale(
        self, current: dict[str, Any], conflicts: Sequence[FieldConflict] = ()
    ) -> StaleVersionError:
        """Build the error for a row that has moved on.

        Args:
            current: The row as it is.
            conflicts: Fields that both sides changed; empty if that is not known.
        """
        kind = PreconditionFailedError if self.by_header else StaleVersionError
        both = ", ".join(conflict.field for conflict in conflicts)
        reason = f" Both changed: {both}." if both else ""
        extra: dict[str, Any] = {"current": current}
        if conflicts:
            extra["conflicts"] = [asdict(conflict) for conflict in conflicts]
        return kind(
            f"The row is at version {current['version']}, the change is based on {self.version}."
            f"{reason} Look at 'current', decide again, and send the change with its version.",
            extra=extra,
            headers={"ETag": render_etag(current["version"])},
        )


def render_etag(version: int) -> str:
    """Render the entity tag of a version."""
    return f'"{version}"'


def expected_version(if_match: str | None, body_version: int | None, *, required: bool) -> Expected:
    """Work out which version a change is based on.

    Args:
        if_match: The ``If-Match`` header: one tag as sent in ``ETag``, or ``*`` for any version.
        body_version: ``version`` of the body.
        required: Refuse a change that names neither.

    Raises:
        InvalidRequestError: The header is malformed or contradicts the body.
        VersionRequiredError: Neither was sent and one is required.
    """
    if if_match is None:
        if body_version is None and required:
            raise VersionRequiredError(
                "Say which version the change is based on: If-Match with the ETag of the row "
                '(for example If-Match: "3"), or "version" in the body.'
            )
        return Expected(body_version)
    if if_match.strip() == "*":
        return Expected(body_version, by_header=True)
    found = _ETAG.fullmatch(if_match.strip())
    if found is None:
        raise _header_error('must be one ETag as the service sends it, such as "3", or *')
    version = int(found[1])
    if body_version not in {None, version}:
        raise _header_error("names another version than the body; send only one of them")
    return Expected(version, by_header=True)


def _header_error(reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"If-Match {reason}.", [{"field": "header.if-match", "message": reason}]
    )
