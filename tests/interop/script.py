"""Scripted sessions: steps of a data file, sent to drivers, their answers compared.

A script is a JSON list of steps. Each names an operation of the drivers (``op``), the client that
does it, its arguments, and what must come back. ``hears`` waits until a channel has been told
something, ``heard`` returns all of it (of one kind with ``only``); ``drop_sockets`` is done by the
test. ``save`` keeps parts of an answer, and later steps use them as ``${name}``.

What must come back is JSON: objects may hold more than is expected, lists must be equal in length
and order, ``<any>``, ``<text>``, ``<uuid>``, ``<number>`` stand for a kind of value,
``{"<has>": [...]}`` for a list that has these among others, ``{"<one of>": [...]}`` for a choice
(where the clients themselves differ), and ``{"<matches>": "..."}`` for text that has a match of the
pattern.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.interop.driver import Driver
from tests.support.waiting import eventually

Step = dict[str, Any]
FOLDER = Path(__file__).parent
_NOT_SENT = frozenset({"title", "expect", "save", "only"})
_REFERENCE = re.compile(r"\$\{([^}]+)\}")


class StepError(AssertionError):
    """A step did not come out as the script says."""


def read_script(name: str) -> list[Step]:
    """Return the steps of a script file in this folder."""
    steps: list[Step] = json.loads((FOLDER / name).read_text(encoding="utf-8"))
    return steps


async def play(
    steps: list[Step],
    drivers: Mapping[str, Driver],
    known: Mapping[str, str],
    do_here: Mapping[str, Callable[[], Awaitable[None]]],
) -> None:
    """Run a script.

    Args:
        steps: What to do and to expect.
        drivers: The driver of each client name.
        known: Values that steps may use from the start.
        do_here: Operations that the test does itself.

    Raises:
        StepError: Names the step, what was expected and what came back.
    """
    saved: dict[str, Any] = dict(known)
    for number, step in enumerate(steps, 1):
        request = fill(step, saved)
        if request["op"] in do_here:
            await do_here[request["op"]]()
            continue
        driver = drivers[request["client"]]
        try:
            answer = await _perform(driver, request)
        except AssertionError as error:
            raise StepError(f"step {number}, {step['title']} ({driver.name}): {error}") from error
        for name, path in step.get("save", {}).items():
            saved[name] = at_path(answer, path)


async def _perform(driver: Driver, request: Step) -> Any:
    expected = request.get("expect", "<any>")
    sent = {name: value for name, value in request.items() if name not in _NOT_SENT}
    if request["op"] != "hears":
        answer = await driver.ask(sent)
        if "only" in request:
            answer = [one for one in answer if one["kind"] == request["only"]]
        check(answer, expected)
        return answer

    async def heard() -> bool:
        told = await driver.ask({**sent, "op": "heard"})
        assert any(difference(one, expected) is None for one in told), f"told so far: {told}"
        return True

    return await eventually(heard, message=f"hears {expected}")


def check(answer: Any, expected: Any) -> None:
    """Refuse an answer that is not as expected."""
    found = difference(answer, expected)
    assert found is None, f"{found}\nexpected {expected}\nanswered {answer}"


def difference(answer: Any, expected: Any, where: str = "answer") -> str | None:
    """Return what is wrong with an answer, None when nothing is."""
    if isinstance(expected, dict):
        return _difference_of_object(answer, expected, where)
    if isinstance(expected, list):
        if not isinstance(answer, list) or len(answer) != len(expected):
            return f"{where} is {answer!r}, not a list of {len(expected)}"
        pairs = enumerate(zip(answer, expected, strict=True))
        found = (difference(one, other, f"{where}[{n}]") for n, (one, other) in pairs)
        return next((item for item in found if item is not None), None)
    if isinstance(expected, str) and expected in KINDS:
        return None if KINDS[expected](answer) else f"{where} is {answer!r}, not {expected}"
    same = answer == expected and isinstance(answer, bool) == isinstance(expected, bool)
    return None if same else f"{where} is {answer!r}, not {expected!r}"


def _difference_of_object(answer: Any, expected: Step, where: str) -> str | None:
    if "<has>" in expected:
        missing = [
            one
            for one in expected["<has>"]
            if not isinstance(answer, list) or all(difference(item, one) for item in answer)
        ]
        return f"{where} has no {missing}" if missing else None
    if "<one of>" in expected:
        choices = expected["<one of>"]
        found = [difference(answer, choice, where) for choice in choices]
        return None if None in found else f"{where} is {answer!r}, none of {choices}"
    if "<matches>" in expected:
        pattern = expected["<matches>"]
        matches = isinstance(answer, str) and re.search(pattern, answer)
        return None if matches else f"{where} is {answer!r}, which does not match {pattern!r}"
    if not isinstance(answer, dict):
        return f"{where} is {answer!r}, not an object"
    # JavaScript leaves out what is undefined, where Python says None.
    parts = (
        difference(answer.get(name), item, f"{where}.{name}") for name, item in expected.items()
    )
    return next((part for part in parts if part is not None), None)


def _is_uuid(value: Any) -> bool:
    try:
        return str(UUID(value)) == value
    except (TypeError, ValueError, AttributeError):
        return False


KINDS: dict[str, Callable[[Any], bool]] = {
    "<any>": lambda _value: True,
    "<text>": lambda value: isinstance(value, str) and bool(value),
    "<uuid>": _is_uuid,
    "<number>": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}


def fill(value: Any, saved: Mapping[str, Any]) -> Any:
    """Return a value with every ``${name}`` replaced by what was saved."""
    if isinstance(value, dict):
        return {name: fill(item, saved) for name, item in value.items()}
    if isinstance(value, list):
        return [fill(item, saved) for item in value]
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole:
            return saved[whole[1]]
        return _REFERENCE.sub(lambda match: str(saved[match[1]]), value)
    return value


def at_path(value: Any, path: str) -> Any:
    """Return a part of an answer, named like ``data.user.id`` or ``data.0.id``."""
    for name in path.split("."):
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value
