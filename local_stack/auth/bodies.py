"""Read request bodies: JSON objects whose fields are text, booleans or objects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from starlette.requests import Request

from local_stack.auth.errors import AuthError, validation_failed

_EMAIL = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
_MAX_EMAIL_CHARS = 255
_PHONE = re.compile(r"[1-9][0-9]{1,14}")
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SECONDS: Final[Mapping[str, float]] = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600,
}  # fmt: skip


class Body:
    """A parsed JSON object. Null counts as absent, a field of another type is refused."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = fields

    def text(self, name: str) -> str | None:
        """Return a text field, None when absent."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, str):
            raise _bad_json(f"{name} must be a string")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean field, False when absent."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, bool):
            raise _bad_json(f"{name} must be a boolean")
        return bool(value)

    def json_object(self, name: str) -> dict[str, Any] | None:
        """Return an object field, None when absent."""
        value = self._fields.get(name)
        if value is not None and not isinstance(value, dict):
            raise _bad_json(f"{name} must be an object")
        return value


async def read_body(request: Request, max_bytes: int) -> Body:
    """Return the request's JSON object; an empty body counts as an empty object.

    Raises:
        AuthError: too long (413), or not a JSON object (400 bad_json).
    """
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > max_bytes:
            raise AuthError(
                413, "validation_failed", f"The request body is longer than {max_bytes} bytes"
            )
    if not chunks.strip():
        return Body({})
    try:
        fields = json.loads(chunks)
    except (ValueError, RecursionError) as error:
        raise _bad_json("it is not valid JSON") from error
    if not isinstance(fields, dict):
        raise _bad_json("expected an object")
    if not all(_is_storable(text) for text in _texts_in(fields)):
        raise _bad_json("PostgreSQL cannot store U+0000 or half a surrogate pair")
    return Body(fields)


def parse_email(value: str) -> str:
    """Return the address in lower case.

    Raises:
        AuthError: not an e-mail address.
    """
    if len(value) > _MAX_EMAIL_CHARS:
        raise validation_failed("An email address is too long")
    if _EMAIL.fullmatch(value) is None:
        raise validation_failed("Unable to validate email address: invalid format")
    return value.lower()


def parse_phone(value: str) -> str:
    """Return the phone number as digits without the plus sign.

    Raises:
        AuthError: not a number in E.164 form.
    """
    digits = value.replace(" ", "").removeprefix("+")
    if _PHONE.fullmatch(digits) is None:
        raise validation_failed("Invalid phone number format (E.164 required)")
    return digits


def parse_duration_s(value: str) -> float:
    """Return the seconds of a Go duration such as ``24h`` or ``1h30m``; ``none`` is 0.

    Raises:
        AuthError: not a duration, or longer than the 292 years that Go can hold.
    """
    if value == "none":
        return 0.0
    sign = -1.0 if value.startswith("-") else 1.0
    text = value[1:] if value[:1] in {"+", "-"} else value
    parts = list(_DURATION_PART.finditer(text))
    seconds = sum(float(part[1]) * _SECONDS[part[2]] for part in parts)
    if not parts or "".join(part[0] for part in parts) != text or seconds > 2**63 * 1e-9:
        raise validation_failed(f"invalid format for ban duration: {value!r} is not a duration")
    return sign * seconds


def _texts_in(value: Any) -> Iterator[str]:
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            pending += item


def _is_storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _bad_json(problem: str) -> AuthError:
    return AuthError(400, "bad_json", f"Could not parse request body as JSON: {problem}")
