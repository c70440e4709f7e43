"""The transition tables are total, their actions exist, and the documents show the same tables."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from portal_sdk._core.connection import ConnectionMachine
from portal_sdk._core.connection_table import CONNECTION_TABLE, ConnectionEvent, LinkState
from portal_sdk._core.sync import SyncMachine
from portal_sdk._core.sync_table import SYNC_TABLE, FeedState, SyncEvent
from portal_sdk._core.token import TOKEN_TABLE, TokenEvent, TokenMachine, TokenState
from portal_sdk.config import PortalConfig

DOCS = Path(__file__).parents[3] / "docs" / "protocol"
TESTS = Path(__file__).parents[2]
CONFIG = PortalConfig()


def draw() -> float:
    return 0.5


MACHINES: list[Any] = [
    pytest.param(SYNC_TABLE, FeedState, SyncEvent, SyncMachine("s", CONFIG, draw), id="sync"),
    pytest.param(
        CONNECTION_TABLE, LinkState, ConnectionEvent, ConnectionMachine(CONFIG, draw), id="link"
    ),
    pytest.param(TOKEN_TABLE, TokenState, TokenEvent, TokenMachine(CONFIG, draw), id="token"),
]


@pytest.mark.parametrize(("table", "states", "event_types", "machine"), MACHINES)
def test_every_state_answers_every_event(
    table: Any, states: Any, event_types: Any, machine: Any
) -> None:
    """No event in any state is left to chance, and no action is missing or unused."""
    assert set(table) == set(states)
    for state in states:
        assert set(table[state]) == set(get_args(event_types)), state
    used = {rule.action for row in table.values() for rule in row.values()}
    assert used == set(machine._actions)
    targets = {t for row in table.values() for rule in row.values() for t in rule.targets}
    assert targets <= set(states)


@pytest.mark.parametrize(
    ("name", "table"),
    [("sync", SYNC_TABLE), ("connection", CONNECTION_TABLE), ("token", TOKEN_TABLE)],
)
def test_the_document_shows_the_table_that_runs(name: str, table: Any) -> None:
    """docs/protocol holds the same cells as the code."""
    page = DOCS / ("sync.md" if name == "sync" else "connection.md")
    assert render_table(table) in page.read_text(), f"renew the {name} table in {page.name}"


def test_every_rule_has_a_test_and_every_test_names_a_rule() -> None:
    """The numbers in docs/protocol and the spec marks of the tests are the same set."""
    ruled = set()
    for page in DOCS.glob("*.md"):
        ruled |= set(re.findall(r"^### ([A-Z]+-\d+)", page.read_text(), re.MULTILINE))
    tested = set()
    for path in [*TESTS.glob("*/portal_sdk/test_*.py")]:
        tested |= set(re.findall(r'mark\.spec\("([A-Z]+-\d+)"\)', path.read_text()))
    assert tested - ruled == set(), "tests of rules that are not written"
    assert ruled - tested == set(), "rules without a test"


def test_every_test_of_the_rule_pages_names_its_rule() -> None:
    """In the *_rules.py files every test has a spec mark, save those about the tables."""
    nameless = []
    for path in Path(__file__).parent.glob("test_*_rules.py"):
        for function in ast.parse(path.read_text()).body:
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                marks = [ast.unparse(mark) for mark in function.decorator_list]
                is_test = function.name.startswith("test_") and "the_table" not in function.name
                if is_test and not any(mark.startswith("pytest.mark.spec(") for mark in marks):
                    nameless.append(f"{path.name}: {function.name}")
    assert nameless == []


def render_table(table: Any) -> str:
    """Return the table as the documents print it."""
    states = list(table)
    lines = ["| event | " + " | ".join(states) + " |", "|---" * (len(states) + 1) + "|"]
    for event in table[states[0]]:
        cells = []
        for state in states:
            rule = table[state][event]
            targets = "/".join(sorted(rule.targets - {state}))
            stays = "" if not targets else f" → {targets}"
            cells.append("–" if rule.action == "ignore" else f"{rule.action}{stays} ({rule.spec})")
        lines.append(f"| {event.__name__} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
