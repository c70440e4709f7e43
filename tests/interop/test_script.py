"""The comparison of the scripted sessions finds what it should: none passes by luck."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.interop.driver import LANGUAGES, Driver, missing_for, require
from tests.interop.script import StepError, difference, fill, play

UUID = "b0000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"a": None}, {"a": None}),
        ({}, {"a": None}),
        ([1, {"x": 1, "y": 2}], [1, {"x": 1}]),
        (1.0, 1),
        (UUID, "<uuid>"),
        ("x", "<text>"),
        (3, "<number>"),
        ([1, 2, 3], {"<has>": [3, 1]}),
        ({"a": 2}, {"<one of>": [{"a": 1}, {"a": 2}]}),
        ("It is Unauthorized", {"<matches>": "Unauth"}),
        (None, "<any>"),
    ],
)
def test_answers_that_are_as_expected(answer: Any, expected: Any) -> None:
    """More than expected in objects is fine; kinds and choices fit."""
    assert difference(answer, expected) is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": None}),
        (None, {"a": 1}),
        ([1, 2], [2, 1]),
        ([1, 2], [1]),
        ([], [{}]),
        ({}, []),
        (True, 1),
        (0, False),
        ("1", 1),
        ("x", "<uuid>"),
        ("", "<text>"),
        (True, "<number>"),
        ([1], {"<has>": [1, 2]}),
        (None, {"<has>": [1]}),
        ({"a": 3}, {"<one of>": [{"a": 1}, {"a": 2}]}),
        (None, {"<matches>": "x"}),
        ({"error": None, "data": []}, {"error": {"code": "42501"}}),
    ],
)
def test_answers_that_are_not_as_expected(answer: Any, expected: Any) -> None:
    """Every kind of deviation is found, and told with its place."""
    found = difference(answer, expected)
    assert found is not None
    assert found.startswith("answer")


def test_names_are_filled_in_whole_and_in_part() -> None:
    """A reference alone keeps its type; within text it becomes text; unknown names fail."""
    saved = {"id": 7, "url": "http://x"}
    assert fill({"a": ["${id}", "${url}/auth"]}, saved) == {"a": [7, "http://x/auth"]}
    with pytest.raises(KeyError):
        fill("${missing}", saved)


class Answering(Driver):
    """A driver that says the same to everything."""

    def __init__(self, answer: Any) -> None:
        self.name = "same"
        self._answer = answer

    async def ask(self, request: dict[str, Any]) -> Any:
        return self._answer


async def test_a_failed_step_is_named() -> None:
    """The failure says which step of whom, what was expected and what came back."""
    steps = [{"title": "look", "op": "x", "client": "jo", "expect": {"data": 1}}]
    drivers: Mapping[str, Driver] = {"jo": Answering({"data": 2})}
    with pytest.raises(StepError, match=r"step 1, look \(same\): answer.data is 2, not 1"):
        await play(steps, drivers, {}, {})


def test_the_python_clients_are_always_here() -> None:
    """Only Node.js may be missing."""
    assert missing_for("python") is None
    assert LANGUAGES == ("python", "js")


def test_ci_may_not_leave_the_javascript_clients_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Node.js is missing the sessions are skipped, in CI they fail; both say why."""
    monkeypatch.setattr("tests.interop.driver.node", lambda: None)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=r"CI must run.*Node\.js is not installed"):
        require("js")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match=r"Node\.js is not installed"):
        require("js")
