"""Adjust the generated OpenAPI document: one ``Problem`` schema, and an example of everything."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from crm_service.openapi_examples import ANSWERS, HEADERS, PARAMETERS, TEXTS
from crm_service.problems import Problem

_CREATED, _FIRST_PROBLEM = 201, 400
# Whose answers are no rows, and yet have the version of one.
_WITH_VERSION = {"restore_row", "reveal_secret", "list_invoice_items"}
# What these do is not stored, noted each time, or goes on where it was: there is nothing to repeat.
_WITHOUT_KEY = {"say_typing", "reveal_secret", "reencrypt_secrets"}
_HEADERS_OF_PROBLEMS = {
    401: ["WWW-Authenticate"],
    409: ["ETag"],
    412: ["ETag"],
    429: ["Retry-After"],
    503: ["Retry-After"],
    504: ["Retry-After"],
}
_KEY = "idempotency-key"
_REF_TEMPLATE = "#/components/schemas/{model}"
_Document = dict[str, Any]


def install_openapi(app: FastAPI) -> None:
    """Make ``/openapi.json`` describe errors as they are; the document is built once."""

    def build() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = build  # type: ignore[method-assign]


def _document(app: FastAPI) -> _Document:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template=_REF_TEMPLATE)
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    # FastAPI's own shape of validation errors is never sent.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for name, example in ANSWERS.items():
        schemas[name]["example"] = example
    document["components"]["headers"] = {
        name: {"description": text, "required": required, "schema": {"type": "string"}}
        for name, (text, required) in HEADERS.items()
    }
    for path, method, operation in _operations(document):
        if method == "get" or operation["operationId"] in _WITHOUT_KEY:
            _leave_out_key(operation)
        _describe_parameters(operation)
        _add_examples(path, operation, schemas)
        for status, answer in operation["responses"].items():
            names = _headers(operation, method, int(status), answer, schemas)
            answer["headers"] = {name: {"$ref": f"#/components/headers/{name}"} for name in names}
    return document


def _operations(document: _Document) -> Iterator[tuple[str, str, _Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _leave_out_key(operation: _Document) -> None:
    """Take the header away that the operation does not heed."""
    parameters = operation.pop("parameters", [])
    if kept := [each for each in parameters if each["name"] != _KEY]:
        operation["parameters"] = kept


def _headers(
    operation: _Document, method: str, status: int, answer: _Document, schemas: _Document
) -> list[str]:
    """Return the names of the headers that an answer has, or may have."""
    names = ["X-Request-Id"]
    if status >= _FIRST_PROBLEM:
        names.append("X-Problem")
        names += _HEADERS_OF_PROBLEMS.get(status, ())
        return names
    schema = answer.get("content", {}).get("application/json", {}).get("schema", {})
    shown = schemas.get(schema.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
    is_row = "version" in shown and {"updated_at", "created_at"} & shown.keys()
    if is_row or operation["operationId"] in _WITH_VERSION:
        names.append("ETag")
    takes_key = any(each["name"] == _KEY for each in operation.get("parameters", ()))
    if status == _CREATED:
        names.append("Location")
    if method == "patch":
        names.append("X-Merged-Fields")
    if takes_key:
        names.append("Idempotency-Replayed")
    return names


def _describe_parameters(operation: _Document) -> None:
    for parameter in operation.get("parameters", ()):
        if "description" not in parameter:
            parameter["description"] = PARAMETERS[parameter["name"]]


def _add_examples(path: str, operation: _Document, schemas: _Document) -> None:
    """Give each body of an operation an example, where it has none of its own."""
    for message in (operation.get("requestBody", {}), *operation["responses"].values()):
        for media_type, content in message.get("content", {}).items():
            if "example" in content:
                continue
            if media_type == "application/json":
                content["example"] = _example(content["schema"], schemas)
            else:
                content["example"] = TEXTS[path, media_type]


def _example(schema: _Document, schemas: _Document) -> Any:
    """Return the example of a schema, made of those of its parts.

    Raises:
        KeyError: A part has none.
    """
    if "anyOf" in schema:
        return _example(schema["anyOf"][0], schemas)
    if "$ref" in schema:
        return _example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "example" in schema:
        return schema["example"]
    if schema["type"] == "array":
        return [_example(schema["items"], schemas)]
    # A page of a list, the only answers that are made of named parts alone.
    return {"items": _example(schema["properties"]["items"], schemas), "next_cursor": None}


__all__ = ["install_openapi"]
