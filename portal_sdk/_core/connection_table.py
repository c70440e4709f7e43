"""The total state x event table of the ConnectionMachine (docs/protocol/connection.md)."""

from __future__ import annotations

import enum

from portal_sdk._core.events import (
    Authorized,
    AuthRefused,
    ClockJumped,
    CloseAsked,
    DatabaseAnswered,
    DatabaseFailed,
    DoorbellDoubted,
    DoorbellJoined,
    DoorbellLost,
    DoorbellRang,
    HeartbeatAnswered,
    PauseAsked,
    ResumeAsked,
    ScopeFailed,
    ScopeMissing,
    ScopeResolved,
    ScopeRevoked,
)
from portal_sdk._core.rules import Rule, Table


class LinkState(enum.StrEnum):
    """Where the doorbell's connection stands."""

    IDLE = "idle"
    """No token yet, or resumed and waiting for one."""
    IDENTIFYING = "identifying"
    OPENING = "opening"
    JOINED = "joined"
    WAITING = "waiting"
    PAUSED = "paused"
    BLOCKED = "blocked"
    CLOSED = "closed"


ConnectionEvent = (
    Authorized
    | AuthRefused
    | ScopeResolved
    | ScopeMissing
    | ScopeFailed
    | ScopeRevoked
    | DoorbellJoined
    | DoorbellRang
    | DoorbellLost
    | DoorbellDoubted
    | HeartbeatAnswered
    | DatabaseAnswered
    | DatabaseFailed
    | ClockJumped
    | PauseAsked
    | ResumeAsked
    | CloseAsked
)

_L = LinkState


def _rule(action: str, spec: str, *targets: LinkState) -> Rule[LinkState]:
    return Rule(action, frozenset(targets), spec)


def _row(state: LinkState, **changes: Rule[LinkState]) -> dict[type, Rule[LinkState]]:
    ignore = _rule("ignore", "CONN-1", state)
    return {
        Authorized: changes.get("authorized", ignore),
        AuthRefused: changes.get("refused", _rule("block", "CONN-4", _L.BLOCKED)),
        ScopeResolved: changes.get("resolved", ignore),
        ScopeMissing: changes.get("missing", ignore),
        ScopeFailed: changes.get("unresolved", ignore),
        ScopeRevoked: changes.get("revoked", ignore),
        DoorbellJoined: changes.get("joined", ignore),
        DoorbellRang: changes.get("rang", ignore),
        DoorbellLost: changes.get("lost", ignore),
        DoorbellDoubted: changes.get("doubted", ignore),
        HeartbeatAnswered: changes.get("beat", ignore),
        DatabaseAnswered: changes.get("answered", ignore),
        DatabaseFailed: changes.get("failed", ignore),
        ClockJumped: changes.get("jumped", ignore),
        PauseAsked: changes.get("paused", _rule("pause", "CONN-13", _L.PAUSED)),
        ResumeAsked: changes.get("resumed", ignore),
        CloseAsked: changes.get("closed", _rule("close", "CONN-14", _L.CLOSED)),
    }


_BEGIN = _rule("begin", "CONN-2", _L.IDENTIFYING, _L.OPENING, _L.WAITING)
_LOST = _rule("lose", "CONN-6", _L.WAITING)
_REVOKED = _rule("revoke", "CONN-12", _L.WAITING)

CONNECTION_TABLE: Table[LinkState] = {
    _L.IDLE: _row(_L.IDLE, authorized=_BEGIN),
    _L.IDENTIFYING: _row(
        _L.IDENTIFYING,
        resolved=_rule("identify", "CONN-3", _L.OPENING, _L.WAITING),
        missing=_rule("await_customer", "CONN-4", _L.BLOCKED),
        unresolved=_rule("fail_identity", "CONN-6", _L.WAITING),
        revoked=_REVOKED,
        answered=_rule("note_answer", "CONN-10", _L.IDENTIFYING),
        failed=_rule("note_failure", "CONN-10", _L.IDENTIFYING),
    ),
    _L.OPENING: _row(
        _L.OPENING,
        joined=_rule("join", "CONN-5", _L.JOINED),
        lost=_LOST,
        revoked=_REVOKED,
        answered=_rule("note_answer", "CONN-10", _L.OPENING),
        failed=_rule("note_failure", "CONN-10", _L.OPENING),
    ),
    _L.JOINED: _row(
        _L.JOINED,
        lost=_LOST,
        rang=_rule("note_ring", "CONN-16", _L.JOINED),
        doubted=_rule("doubt", "CONN-9", _L.WAITING),
        beat=_rule("note_beat", "CONN-8", _L.JOINED),
        revoked=_REVOKED,
        answered=_rule("note_answer", "CONN-10", _L.JOINED),
        failed=_rule("note_failure", "CONN-10", _L.JOINED),
        jumped=_rule("probe", "CONN-11", _L.JOINED),
    ),
    _L.WAITING: _row(
        _L.WAITING,
        authorized=_rule("retry_if_token", "CONN-7", _L.WAITING),
        revoked=_REVOKED,
        answered=_rule("note_answer", "CONN-10", _L.WAITING),
        failed=_rule("note_failure", "CONN-10", _L.WAITING),
        jumped=_rule("hurry", "CONN-11", _L.WAITING),
    ),
    _L.PAUSED: _row(
        _L.PAUSED,
        paused=_rule("ignore", "CONN-13", _L.PAUSED),
        resumed=_rule("resume", "CONN-13", _L.IDLE),
        refused=_rule("ignore", "CONN-13", _L.PAUSED),
    ),
    _L.BLOCKED: _row(_L.BLOCKED, authorized=_BEGIN, resumed=_rule("resume", "CONN-4", _L.IDLE)),
    _L.CLOSED: _row(
        _L.CLOSED,
        refused=_rule("ignore", "CONN-14", _L.CLOSED),
        paused=_rule("ignore", "CONN-14", _L.CLOSED),
        closed=_rule("ignore", "CONN-14", _L.CLOSED),
    ),
}
