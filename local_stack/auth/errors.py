"""What the auth server answers when it refuses, in GoTrue's two body shapes.

::

    AuthError                     status, error_code, message
    ├── WeakPasswordError         reasons
    ├── OAuthGrantError           the OAuth 2 body: error, error_description
    └── NotSupportedError         a part of GoTrue that the local stack does not have

Tokens are refused with the tree in ``local_stack.auth.tokens``.
"""

from __future__ import annotations

import re
from typing import Any

from local_stack.errors import StackError

API_VERSION_HEADER = "x-supabase-api-version"
ERROR_CODE_HEADER = "x-sb-error-code"
_API_VERSION_2024_01_01 = "2024-01-01"
_API_VERSION_DATE = re.compile(r"2\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")


class AuthError(StackError):
    """A refusal with GoTrue's status, error code and message.

    Attributes:
        status: HTTP status.
        error_code: GoTrue's name for the reason, for programs.
        message: the reason, for people; never holds secrets.
    """

    def __init__(self, status: int, error_code: str, message: str) -> None:
        self.status = status
        self.error_code = error_code
        self.message = message
        super().__init__(f"{status} {error_code}: {message}")

    def body(self, api_version: str | None) -> dict[str, Any]:
        """Return the JSON body; clients from 2024 on ask for the newer shape by header."""
        if api_version is not None:
            return {"code": self.error_code, "message": self.message}
        return {"code": self.status, "error_code": self.error_code, "msg": self.message}

    def is_told_in_a_header(self, api_version: str | None) -> bool:
        """Tell whether the code is repeated in a header of the response."""
        del api_version
        return True


class WeakPasswordError(AuthError):
    """The password does not meet the rules.

    Attributes:
        reasons: what is wrong: ``length``.
    """

    def __init__(self, message: str, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__(422, "weak_password", message)

    def body(self, api_version: str | None) -> dict[str, Any]:
        """Return the JSON body with the reasons."""
        return {**super().body(api_version), "weak_password": {"reasons": list(self.reasons)}}

    def is_told_in_a_header(self, api_version: str | None) -> bool:
        """Only next to the initial body, as GoTrue does it."""
        return api_version is None


class OAuthGrantError(AuthError):
    """A refusal that GoTrue words as an OAuth 2 error in every API version."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(400, error, description)

    def body(self, api_version: str | None) -> dict[str, Any]:
        """Return the OAuth 2 body."""
        del api_version
        return {"error": self.error_code, "error_description": self.message}

    def is_told_in_a_header(self, api_version: str | None) -> bool:
        """Never: an OAuth 2 error has no GoTrue code."""
        del api_version
        return False


class NotSupportedError(AuthError):
    """The request needs a part of GoTrue that the local stack does not have.

    Attributes:
        what: that part, for people.
    """

    def __init__(self, what: str, status: int, error_code: str) -> None:
        self.what = what
        super().__init__(
            status,
            error_code,
            f"{what} is not available in the local stack; see local_stack/auth/COMPATIBILITY.md",
        )


def validation_failed(message: str) -> AuthError:
    """Return GoTrue's refusal of a field that makes no sense."""
    return AuthError(400, "validation_failed", message)


def closest_api_version(header: str | None) -> str | None:
    """Return the API version that the request's header stands for; None is the initial one."""
    if header is None or _API_VERSION_DATE.fullmatch(header) is None:
        return None
    return _API_VERSION_2024_01_01 if header >= _API_VERSION_2024_01_01 else None
