"""The typed client has a method for every operation of the API."""

import inspect

import pytest

from crm_service.app import create_app
from crm_service.client import CrmClient
from tests.support.crm import make_settings

# Operations whose method has another name, because the client says it shorter.
NAMES = {
    "restore_row": "restore",
    "stream_events": "follow_events",
}


@pytest.fixture(scope="module")
def operations():
    """Operation ids of the API."""
    paths = create_app(make_settings()).openapi()["paths"]
    return {
        operation["operationId"]
        for path, methods in paths.items()
        if path.startswith("/v1/")
        for operation in methods.values()
    }


def test_every_operation_has_a_method(operations):
    """An endpoint without one fails here."""
    methods = {name for name, _ in inspect.getmembers(CrmClient, inspect.isfunction)}
    assert {name for name in operations if NAMES.get(name, name) not in methods} == set()
