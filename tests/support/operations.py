"""The operations of the service's OpenAPI document, and what each must refuse."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from tests.support.personas import customer_id

OWN = customer_id(1)  # belongs to CUSTOMER_A, who may read it through the portal
MARK = "l3ak-m4rk"
_NAMES = {"name": "gate_code", "kind": "customers", "table": "customers"}
_JSON_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}
_ANY_TYPE: tuple[Any, ...] = (MARK, "5", "true", 1, 1.5, True, [], [[MARK]], {"x": MARK}, None)
_WRONG_TEXT = {
    "uuid": (MARK, "", f"{OWN}0"),
    "date-time": ("1700000000", "2026-01-01", "2026-01-01T00:00:00", "9999-12-31T23:59:59Z", ""),
    "date": ("0", "20260101", "2026-02-30", "2026-01-01T00:00:00", "0001-01-01", ""),
}


@dataclass(frozen=True)
class Operation:
    """One operation, with what a good request would hold.

    Attributes:
        uuids: Names of the values of the path that are ids.
        query: Schemas of the query's parameters.
        needed: Parameters that must be there, with values that fit.
        body: What a good request sends as JSON; None if it sends none.
        fields: Schemas of the body's members.
        statuses: Those that are documented.
    """

    method: str
    template: str
    uuids: tuple[str, ...]
    query: dict[str, dict[str, Any]]
    needed: dict[str, str]
    takes_version: bool
    body: Any
    fields: dict[str, dict[str, Any]]
    is_csv: bool
    statuses: frozenset[int]

    @property
    def endless(self) -> bool:
        """Whether the answer to a good request has no end."""
        return self.template == "/v1/events"

    def path(self, **values: str) -> str:
        """Fill in the path; a customer exists, other ids do not."""
        filled = {name: OWN if name == "customer_id" else str(uuid4()) for name in self.uuids}
        return self.template.format_map({**_NAMES, **filled, **values})

    def good(self) -> dict[str, Any]:
        """What a good request would send."""
        return {"json": self.body} if self.body is not None else {}

    def unversioned(self) -> dict[str, Any]:
        """The same without saying which version it is based on."""
        body = self.body
        return {} if body is None else {"json": {k: v for k, v in body.items() if k != "version"}}

    def wrong_bodies(self) -> Iterator[dict[str, Any]]:
        """Bodies with one member of another type, or in a form that it does not have."""
        for name, schema in self.fields.items():
            options = _options(schema)
            types = {option.get("type") for option in options}
            if None in types:
                continue  # any JSON, or one of several models
            of_type = types | ({"integer"} if "number" in types else set())
            for value in _ANY_TYPE:
                if _JSON_TYPES[type(value)] not in of_type:
                    yield {**self.body, name: value}
            for option in options:
                for text in _WRONG_TEXT.get(option.get("format", ""), ()):
                    yield {**self.body, name: text}
                if "enum" in option:
                    yield {**self.body, name: MARK}

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def read_operations(document: dict[str, Any]) -> list[Operation]:
    """Return the operations below /v1, with bodies from the document's examples."""
    schemas = document["components"]["schemas"]

    def resolved(schema: dict[str, Any]) -> dict[str, Any]:
        for option in schema.get("anyOf", ()):
            if "$ref" in option:
                schema = option
        return schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    found = []
    for template, methods in document["paths"].items():
        if not template.startswith("/v1/"):
            continue
        for method, operation in methods.items():
            parameters = operation.get("parameters", ())
            content = operation.get("requestBody", {}).get("content", {})
            schema = resolved(content.get("application/json", {}).get("schema", {}))
            if content and "text/csv" not in content:
                assert "example" in schema, f"{method} {template}: no example"
            found.append(
                Operation(
                    method.upper(),
                    template,
                    tuple(
                        p["name"]
                        for p in parameters
                        if p["in"] == "path" and p["schema"].get("format") == "uuid"
                    ),
                    {p["name"]: p["schema"] for p in parameters if p["in"] == "query"},
                    {
                        p["name"]: str(p["schema"].get("minimum", 0))
                        for p in parameters
                        if p["in"] == "query" and p.get("required")
                    },
                    any(p["name"] == "if-match" for p in parameters),
                    schema.get("example"),
                    schema.get("properties", {}),
                    "text/csv" in content,
                    frozenset(int(status) for status in operation["responses"]),
                )
            )
    return found


def wrong_values(schema: dict[str, Any]) -> list[str]:
    """Values that a query parameter refuses, whatever it is."""
    options = [option for option in _options(schema) if option.get("type") != "null"]
    found = [f"{MARK}\x00", "", MARK * 1000]
    if any(option.get("type") == "boolean" for option in options):
        found.append("maybe")
    for option in options:
        if option.get("type") == "integer":
            found += [str(option.get("minimum", 0) - 1), "1" + "0" * 30, "1.5"]
        if option.get("format") == "date-time":
            found += ["2026-01-01", "2026-01-01T00:00:00", "9999-99-99T00:00:00Z", "1700000000"]
        if option.get("format") == "date":
            found += ["0", "2026-02-30", "2026-01-01T00:00:00"]
    free = all(option.get("type") == "string" and "enum" not in option for option in options)
    if free and not any({"format", "pattern", "minLength"} & option.keys() for option in options):
        found.remove("")
    elif free and not any("format" in option or "minLength" in option for option in options):
        found = [value for value in found if value]
    return found


def _options(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return list(schema.get("anyOf", [schema]))
