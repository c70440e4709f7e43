"""Refusals of the REST server: the PGRST codes with their HTTP status, and the error body."""

import json
from dataclasses import dataclass
from typing import Any

JSON_CONTENT_TYPE = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """One row of the registry: the HTTP status and the usual message of a code."""

    status: int
    message: str


REGISTRY: dict[str, CodeEntry] = {
    "PGRST000": CodeEntry(503, "Database connection error. Retrying the connection."),
    "PGRST001": CodeEntry(503, "Database client error. Retrying the connection."),
    "PGRST002": CodeEntry(503, "Could not query the database for the schema cache. Retrying."),
    "PGRST003": CodeEntry(504, "Timed out acquiring connection from connection pool."),
    "PGRST100": CodeEntry(400, "The query string could not be parsed"),
    "PGRST101": CodeEntry(405, "Cannot use this method on RPC"),
    "PGRST102": CodeEntry(400, "Empty or invalid json"),
    "PGRST103": CodeEntry(416, "Requested range not satisfiable"),
    "PGRST106": CodeEntry(406, "Invalid schema"),
    "PGRST107": CodeEntry(406, "None of these media types are available"),
    "PGRST108": CodeEntry(400, "Not an embedded resource in this request"),
    "PGRST111": CodeEntry(
        500,
        "response.headers guc must be a JSON array composed of objects with a single key and a "
        "string value",
    ),
    "PGRST112": CodeEntry(500, "response.status guc must be a valid status code"),
    "PGRST116": CodeEntry(406, "Cannot coerce the result to a single JSON object"),
    "PGRST117": CodeEntry(405, "Unsupported HTTP method"),
    "PGRST118": CodeEntry(400, "A related order is not possible"),
    "PGRST119": CodeEntry(400, "A spread operation is not possible"),
    "PGRST120": CodeEntry(400, "Bad operator on the embedded resource"),
    "PGRST121": CodeEntry(500, "Could not parse JSON in the \"RAISE SQLSTATE 'PGRST'\" error"),
    "PGRST122": CodeEntry(400, "Invalid preferences given with handling=strict"),
    "PGRST123": CodeEntry(400, "Use of aggregate functions is not allowed"),
    "PGRST124": CodeEntry(400, "Query result exceeds max-affected preference constraint"),
    "PGRST125": CodeEntry(404, "Invalid path specified in request URL"),
    "PGRST126": CodeEntry(404, "Root endpoint metadata is disabled"),
    "PGRST127": CodeEntry(400, "Feature not implemented"),
    "PGRST128": CodeEntry(
        400,
        "Function must return SETOF or TABLE when max-affected preference is used with "
        "handling=strict",
    ),
    "PGRST200": CodeEntry(400, "Could not find a relationship in the schema cache"),
    "PGRST201": CodeEntry(300, "Could not embed because more than one relationship was found"),
    "PGRST202": CodeEntry(404, "Could not find the function in the schema cache"),
    "PGRST203": CodeEntry(300, "Could not choose the best candidate function"),
    "PGRST204": CodeEntry(400, "Could not find the column in the schema cache"),
    "PGRST205": CodeEntry(404, "Could not find the table in the schema cache"),
    "PGRST301": CodeEntry(401, "No suitable key or wrong key type"),
    "PGRST302": CodeEntry(401, "Anonymous access is disabled"),
    "PGRST303": CodeEntry(401, "JWT expired"),
}


class RestError(Exception):
    """A refusal with the status, headers and body that the client gets."""

    def __init__(
        self,
        code: str,
        message: str | None = None,
        *,
        details: Any = None,
        hint: str | None = None,
        status: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        entry = REGISTRY.get(code)
        self.code = code
        self.message = message if message is not None else (entry.message if entry else code)
        self.details = details
        self.hint = hint
        self.status = status if status is not None else (entry.status if entry else 500)
        self.headers = headers
        super().__init__(f"{self.status} {code}")

    def body(self) -> bytes:
        """Render the JSON body that clients of PostgREST expect."""
        payload = {
            "code": self.code,
            "details": self.details,
            "hint": self.hint,
            "message": self.message,
        }
        return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(
            "utf-8", "replace"
        )

    def all_headers(self) -> list[tuple[str, str]]:
        """List the response headers, content type first."""
        return [
            ("Content-Type", JSON_CONTENT_TYPE),
            ("Proxy-Status", f"PostgREST; error={self.code}"),
            *self.headers,
        ]


class RequestError(RestError):
    """The request itself is wrong, or asks for what is not built (PGRST1xx)."""


class SchemaError(RestError):
    """A name is not in the schema cache (PGRST2xx, 42703, 42704); a reload may find it."""


class IdentityError(RestError):
    """The token was refused (PGRST3xx)."""


class DatabaseError(RestError):
    """PostgreSQL refused the statement; the code is its SQLSTATE."""


class UnavailableError(RestError):
    """The database cannot be reached or has no free connection (PGRST0xx)."""


def not_implemented(what: str) -> RequestError:
    """Refuse a feature of PostgREST that this server does not have."""
    return RequestError("PGRST127", details=f"{what} is not supported by the local stack")
