"""The compatibility page lists all 116 points of the protocol, with tests that carry the number."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = REPOSITORY / "local_stack/realtime/COMPATIBILITY.md"
SPEC = REPOSITORY / "tests/spec/realtime"
POINTS = 116
_STATES = ("pass", "deviates: ")  # with the reason


def _rows(page: str) -> list[tuple[int, str, list[str]]]:
    """Return number, state and named tests of every point on the page."""
    table = page.split("## ", 1)[0]
    cells = re.findall(r"^\| (\d+) \| .+? \| (.+?) \| (.+?) \|$", table, re.MULTILINE)
    return [(int(number), state, re.findall(r"`([^`]+)`", tests)) for number, state, tests in cells]


def _test_id(path: Path, name: str) -> str:
    if path.parent == SPEC:
        return f"{path.stem.removeprefix('test_')}::{name}"
    return f"{path.relative_to(REPOSITORY)}::{name}"


def _numbers(function: ast.AST) -> Iterator[int]:
    """Yield the points in ``@pytest.mark.spec("RT-<number>")`` above a function."""
    for decorator in getattr(function, "decorator_list", ()):
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.spec":
            (number,) = decorator.args
            text = ast.literal_eval(number)
            if text.startswith("RT-"):
                yield int(text.removeprefix("RT-"))


def _marked() -> dict[str, set[int]]:
    """Return the points that each test of the repository says it covers."""
    found: dict[str, set[int]] = {}
    for path in sorted((REPOSITORY / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if "RT-" not in text or "node_modules" in path.parts:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                numbers = set(_numbers(node))
                if numbers:
                    found[_test_id(path, node.name)] = numbers
    return found


def problems(page: str, marked: dict[str, set[int]]) -> list[str]:
    """Return what keeps a page and marked tests from covering every point; pure."""
    rows = _rows(page)
    counts = Counter(number for number, _, _ in rows)
    wrong = [f"RT-{n} has {counts[n]} rows" for n in range(1, POINTS + 1) if counts[n] != 1]
    wrong += [f"there is no point RT-{number}" for number in counts if not 1 <= number <= POINTS]
    for number, state, tests in rows:
        if not state.startswith(_STATES):
            wrong.append(f"RT-{number} has no state: {state}")
        if not tests:
            wrong.append(f"RT-{number} names no test")
        wrong += [
            f"RT-{number} names {test}, which is no test marked so"
            for test in tests
            if number not in marked.get(test, ())
        ]
    listed = {(number, test) for number, _, tests in rows for test in tests}
    wrong += [
        f"{test} is marked RT-{number}, but the row does not name it"
        for test, numbers in marked.items()
        for number in numbers
        if (number, test) not in listed
    ]
    return wrong


def test_every_point_has_a_row_and_marked_tests() -> None:
    """1 to 116, none missing, none twice; rows and markers say the same."""
    assert problems(PAGE.read_text(encoding="utf-8"), _marked()) == []


def test_a_missing_row_or_marker_is_noticed() -> None:
    """The count cannot pass by accident: each row and each marker is needed."""
    page, marked = PAGE.read_text(encoding="utf-8"), _marked()
    for number in range(1, POINTS + 1):
        without_row = re.sub(rf"^\| {number} \|.+\n", "", page, count=1, flags=re.MULTILINE)
        assert f"RT-{number} has 0 rows" in problems(without_row, marked)
        unmarked = {test: numbers - {number} for test, numbers in marked.items()}
        assert any(text.startswith(f"RT-{number} names ") for text in problems(page, unmarked))


def test_every_deviation_has_a_reason() -> None:
    """What differs on purpose says what is here, what is there, and why."""
    section = PAGE.read_text(encoding="utf-8").split("## Deliberate deviations", 1)[1]
    rows = re.findall(r"^\| (.+) \|$", section.split("## ", 1)[0], re.MULTILINE)[1:]
    assert len(rows) > 20
    assert [row for row in rows if any(not cell.strip() for cell in row.split(" | "))] == []
    assert [row for row in rows if len(row.split(" | ")) != 4] == []
