"""The rule tests notice when the core is wrong: each planted fault turns one of them red.

The random histories are a second witness; here they are left out, so that no rule rests on luck.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from portal_sdk._core import (
    checkpoint,
    connection,
    overlay,
    questions,
    replica,
    session,
    sync,
    token,
)
from tests.spec.portal_sdk import (
    test_connection_rules,
    test_doorbell_rules,
    test_points_rules,
    test_session_rules,
    test_sync_rules,
    test_verification_rules,
)

SUITE = (
    test_sync_rules,
    test_verification_rules,
    test_connection_rules,
    test_doorbell_rules,
    test_session_rules,
    test_points_rules,
)
RED = (
    AssertionError, pytest.fail.Exception, AttributeError, KeyError, TypeError, ValueError,
)  # fmt: skip

MUTANTS: dict[str, tuple[ModuleType, str, str, str, str]] = {
    "accepts gaps": (sync, "SyncMachine", "_apply", "change.n != self.replica.n + 1", "False"),
    "applies entries twice": (
        sync, "SyncMachine", "_apply", "change.n <= self.replica.n", "change.n < self.replica.n",
    ),
    "ignores the epoch": (
        sync, "SyncMachine", "_take_page", "if page.must_resync or not is_same_epoch:", "if False:",
    ),
    "loses a ring that comes during a pull": (
        sync, "SyncMachine", "_note_ring", "if self._is_news(event):", "if False:",
    ),
    "trusts any answer": (
        questions, "Questions", "is_outdated", "return event.request != self.rows", "return False",
    ),
    "moves the cursor without storing": (
        sync, "SyncMachine", "_apply", "if self.replica.n > before_n:", "if False:",
    ),
    "calls itself caught up too early": (
        sync, "SyncMachine", "_note_complete", "if self._is_start_pending:", "if False:",
    ),
    "is live before the feed was read after a join": (
        sync, "SyncMachine", "_begin", "self._has_settled = False", "pass",
    ),
    "is live by a read that was under way when it joined": (
        sync, "SyncMachine", "_read_again_later", "self._has_settled = False", "pass",
    ),
    "stops after a failed read": (
        sync, "SyncMachine", "_fail", "self._retry_at = now", "self._retry_at = 1e9 + now",
    ),
    "applies a blank entry": (replica, "Replica", "apply", "if change.row is None:", "if False:"),
    "does not look at the digest": (
        checkpoint, "Checkpoint", "agrees",
        "self.digest_trust.allows(lambda: replica.matches(head.digest))", "True",
    ),
    "does not look at the form of the rows": (
        checkpoint, "Checkpoint", "agrees",
        "self.forms_trust.allows(lambda: replica.has_forms(head.forms))", "True",
    ),
    "is live without a verification": (
        session, "PortalCore", "_state_with_doorbell",
        "SyncState.LIVE if self.connection.is_verified else SyncState.STALE", "SyncState.LIVE",
    ),
    "keeps the rows of a revoked customer": (
        session, "PortalCore", "_change_scope", "if self.sync.replica.epoch is not None:",
        "if False:",
    ),
    "erases the store because a token says so": (
        session, "PortalCore", "_take_token", "keeps_store=True", "keeps_store=False",
    ),
    "shows the rows of whoever was signed in before": (
        session, "PortalCore", "_take_token", "self._change_scope(NO_SCOPE, now, keeps_store=True)",
        "pass",
    ),
    "does not tell of rows that came back": (
        sync, "SyncMachine", "load", "if self._is_primed:", "if False:",
    ),
    "tells of rows that came back as they are later": (
        replica, "Replica", "all_inserted", "self._copy()", "self.tables",
    ),
    "listens to an old socket": (
        connection, "ConnectionMachine", "_is_outdated",
        "return event.generation != self.generation", "return False",
    ),
    "storms a server that accepts and closes": (
        connection, "ConnectionMachine", "_open", "if len(self._opened)",
        "if False and len(self._opened)",
    ),
    "never misses a heartbeat": (
        connection, "ConnectionMachine", "_on_beat_due", 'self._deadlines["beat_answer"]', "_",
    ),
    "shows a balance below zero": (
        overlay, "Overlay", "_predicted", "None if balance < 0 else", "None if False else",
    ),
    "does not show that everything is spent": (
        overlay, "Overlay", "_predicted", "None if balance < 0 else", "None if balance <= 0 else",
    ),
    "counts what cannot be paid": (
        overlay, "Overlay", "_predicted", 'if balance + int(pending["points"]) >= 0:', "if True:",
    ),
    "forgets the redemptions before": (
        overlay, "Overlay", "_predicted", "in self._pending_before(row_id):", "in []:",
    ),
    "counts redemptions that come later": (
        overlay, "Overlay", "_pending_before", "if serial < own", "if serial != own",
    ),
    "counts redemptions in any order": (
        overlay, "Overlay", "_pending_before", "sorted(pending)", "sorted(pending, reverse=True)",
    ),
    "counts confirmed redemptions twice": (
        overlay, "Overlay", "_pending_before", "and other_id not in base", "",
    ),
    "does not look at a replaced ledger": (
        overlay, "Overlay", "predict_again", 'return self._renumber(LEDGER, "")', "return []",
    ),
    "looks at the same ledger again and again": (
        overlay, "Overlay", "predict_again", "is self._predicted_over", "is False",
    ),
    "never renews a token": (token, "TokenMachine", "_keep", "self._renew_at = now", "_ = now"),
}  # fmt: skip


def rule_tests() -> Iterator[Callable[[], None]]:
    """The tests with literal times that take no argument."""
    for module in SUITE:
        for name, function in vars(module).items():
            if name.startswith("test_") and not inspect.signature(function).parameters:
                yield function


def run_suite() -> None:
    for test in rule_tests():
        test()
    test_connection_rules.test_accept_then_close_opens_at_most_five_sockets_in_five_seconds(0.01)


def test_the_core_as_it_is_passes() -> None:
    """Otherwise the other results here would mean nothing."""
    run_suite()


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_fault_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The core with this fault does not pass its own tests."""
    module, class_name, method, old, new = MUTANTS[name]
    owner = getattr(module, class_name)
    source = textwrap.dedent(inspect.getsource(getattr(owner, method)))
    assert source.count(old) >= 1, "the code has moved on: renew this mutant"
    scope: dict[str, Any] = {}
    exec(source.replace(old, new), vars(module) | {}, scope)
    monkeypatch.setattr(owner, method, scope[method])
    with pytest.raises(RED):
        run_suite()
