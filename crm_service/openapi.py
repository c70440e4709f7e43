"""Adjust the generated OpenAPI document: one ``Problem`` schema, and an example of everything."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from crm_service.openapi_examples import ANSWERS, PARAMETERS, TEXTS
from crm_service.problems import Problem

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
    for path, operation in _operations(document):
        _describe_parameters(operation)
        _add_examples(path, operation, schemas)
    return document


def _operations(document: _Document) -> Iterator[tuple[str, _Document]]:
    for path, methods in document["paths"].items():
        for operation in methods.values():
            yield path, operation


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
                content["example"] = TEXTS[path]


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
