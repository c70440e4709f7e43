"""The document that describes the API: complete, and its examples are what it says."""

import json
import re
from pathlib import Path

import jsonschema_rs
import pytest

from crm_service.app import create_app
from crm_service.errors import InvalidRequestError, ServiceError
from crm_service.versions import expected_version
from tests.support.crm import make_settings


@pytest.fixture(scope="module")
def document():
    """What `/openapi.json` gives."""
    return create_app(make_settings()).openapi()


@pytest.fixture(scope="module")
def operations(document):
    """Name and description of each operation."""
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def bodies(operation):
    """Each body of an operation: of which message, in which media type, what it is."""
    yield from (
        ("request", media_type, content)
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items()
    )
    yield from (
        (status, media_type, content)
        for status, answer in operation["responses"].items()
        for media_type, content in answer.get("content", {}).items()
    )


def test_every_body_has_an_example_that_fits_it(document, operations):
    """Requests, answers and problems; a new one without an example fails here."""
    checked = 0
    fitting = set()
    for name, operation in operations:
        for message, media_type, content in bodies(operation):
            assert "example" in content, f"{name} {message} {media_type}"
            schema = {**content["schema"], "components": document["components"]}
            key = json.dumps([content["schema"], content["example"]])
            if key not in fitting:
                validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
                wrong = [error.message for error in validator.iter_errors(content["example"])]
                assert wrong == [], f"{name} {message}: {wrong}"
                fitting.add(key)
            checked += 1
    assert checked > 900


def test_an_answer_shows_all_of_its_members(document):
    """Also those that may be left out or be null."""
    for name, schema in document["components"]["schemas"].items():
        if "example" in schema and name.endswith(("Read", "Result", "Report", "Page")):
            assert schema["example"].keys() == schema["properties"].keys(), name


def test_everything_is_described(operations):
    """Each operation in a sentence, each parameter by what it means."""
    for name, operation in operations:
        assert operation["description"].endswith("."), name
        for parameter in operation.get("parameters", ()):
            assert parameter["description"].endswith((".", "?")), f"{name} {parameter['name']}"


def test_every_answer_names_its_headers(document, operations):
    """Versions where there is one to send back, places of what was made, when to come again."""
    known = document["components"]["headers"]
    for name, operation in operations:
        for status, answer in operation["responses"].items():
            assert answer["headers"].keys() <= known.keys()
            assert "X-Request-Id" in answer["headers"], name
            assert ("Location" in answer["headers"]) == (status == "201"), name
            assert ("Retry-After" in answer["headers"]) == (status in {"429", "503", "504"}), name
        if any(parameter["name"] == "if-match" for parameter in operation.get("parameters", ())):
            good = next(a for status, a in operation["responses"].items() if status < "300")
            assert "ETag" in good["headers"], name


def test_only_what_heeds_a_key_has_the_header(operations):
    """Reads do not, nor do writes that are meant to be repeated."""
    without = {
        name
        for name, operation in operations
        if "/v1/" in name
        and "idempotency-key" not in {each["name"] for each in operation.get("parameters", ())}
    }
    assert {name for name in without if not name.startswith("GET ")} == {
        "POST /v1/customers/{customer_id}/typing",
        "POST /v1/customers/{customer_id}/secrets/{name}/reveal",
        "POST /v1/secrets/reencrypt",
    }
    assert without >= {name for name, _ in operations if name.startswith("GET /v1/")}
    for name, operation in operations:
        for status, answer in operation["responses"].items():
            replayed = "Idempotency-Replayed" in answer["headers"]
            writes = not name.startswith("GET ") and name not in without
            assert replayed == (status < "300" and writes), name


def test_problems_show_what_they_carry(operations):
    """Who reads the documentation sees what a conflict and a wrong field look like."""
    for name, operation in operations:
        for status, members in (("412", {"current", "conflicts"}), ("422", {"errors"})):
            if answer := operation["responses"].get(status):
                example = answer["content"]["application/problem+json"]["example"]
                assert example.keys() >= members, name


@pytest.mark.parametrize("tag", ['"0"', '"3"', "*", "", "3", 'W/"3"', '"03"', '"3", "4"', '"-1"'])
def test_the_pattern_of_if_match_is_what_is_taken(operations, tag):
    """So that a client can tell before it asks."""
    patterns = {
        parameter["schema"]["pattern"]
        for _, operation in operations
        for parameter in operation.get("parameters", ())
        if parameter["name"] == "if-match"
    }
    (pattern,) = patterns
    try:
        expected_version(tag, None, required=False)
    except InvalidRequestError:
        assert not re.search(pattern, tag)
    else:
        assert re.search(pattern, tag)


def test_callers_identify_themselves_by_a_named_scheme(document):
    """Generated clients take its name."""
    assert list(document["components"]["securitySchemes"]) == ["accessToken"]


def test_every_problem_is_in_the_reference():
    """A new code without a line there fails here."""
    page = (Path(__file__).parents[3] / "docs/reference/crm-service.md").read_text()

    def codes_of(kind):
        yield kind.code
        for each in kind.__subclasses__():
            yield from codes_of(each)

    assert [code for code in {*codes_of(ServiceError)} if f"`{code}`" not in page] == []
