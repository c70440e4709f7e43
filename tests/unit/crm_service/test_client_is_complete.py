"""The typed client has a method for every operation of the API, with its types."""

import inspect
from collections.abc import AsyncIterator
from typing import get_args, get_origin, get_type_hints

import pytest

from crm_service.app import create_app
from crm_service.client import CrmClient
from tests.support.crm import make_settings

# Operations whose method has another name, because the client says it shorter.
NAMES = {
    "restore_row": "restore",
    "stream_events": "follow_events",
}
# Parameters that the client takes apart from the query, or bodies that it makes itself.
OWN_QUERY = {"list_room": {"room"}}
MADE_BODIES = {"put_secret", "assign_job", "move_job", "move_invoice", "import_csv"}


@pytest.fixture(scope="module")
def operations():
    """The operations of the API by the name of their method."""
    paths = create_app(make_settings()).openapi()["paths"]
    return {
        NAMES.get(operation["operationId"], operation["operationId"]): operation
        for path, methods in paths.items()
        if path.startswith("/v1/")
        for operation in methods.values()
    }


def hints_of(name):
    """The types of a method of the client."""
    return get_type_hints(getattr(CrmClient, name))


def schema_name(schema):
    """The name of the model that a schema is, or of the first one it may be."""
    schema = schema.get("anyOf", [schema])[0]
    if schema.get("type") == "array":
        return f"list[{schema_name(schema['items'])}]"
    return schema["$ref"].rpartition("/")[2]


def model_name(kind):
    """The same of a type."""
    if get_origin(kind) is list:
        return f"list[{model_name(get_args(kind)[0])}]"
    if get_args(kind):
        kind = get_args(kind)[0]  # of what may be None
    return kind.__name__.replace("[", "_").replace("]", "_")


def test_every_operation_has_a_method(operations):
    """An endpoint without one fails here."""
    methods = {name for name, _ in inspect.getmembers(CrmClient, inspect.isfunction)}
    assert operations.keys() - methods == set()


def test_methods_take_the_query_parameters_of_their_operation(operations):
    """By name, and no others."""
    for name, operation in operations.items():
        wanted = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "query"}
        query = hints_of(name).get("query")
        given = set(get_type_hints(get_args(query)[0])) if query else OWN_QUERY.get(name, set())
        assert given == wanted, name


def test_methods_take_and_return_the_models_of_their_operation(operations):
    """The body, and the answer of a good request."""
    for name, operation in operations.items():
        hints = hints_of(name)
        content = operation.get("requestBody", {}).get("content", {})
        if "body" in hints:
            assert model_name(hints["body"]) == schema_name(content["application/json"]["schema"])
        elif name not in MADE_BODIES:
            assert not operation.get("requestBody", {}).get("required"), name
        (answer,) = (a for status, a in operation["responses"].items() if status.startswith("2"))
        found = answer.get("content", {}).get("application/json", {}).get("schema")
        if found is None:
            assert hints["return"] in {type(None), bytes} or name == "follow_events", name
        elif get_origin(hints["return"]) is not AsyncIterator:
            assert model_name(hints["return"]) == schema_name(found), name


def test_methods_that_change_a_row_name_its_version(operations):
    """Where the operation takes If-Match."""
    without = {"restore"}  # its body has one
    for name, operation in operations.items():
        if any(p["name"] == "if-match" for p in operation.get("parameters", ())):
            assert ("version" in hints_of(name)) == (name not in without), name
