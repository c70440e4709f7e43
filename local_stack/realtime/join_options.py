"""What a join asks for, read leniently from its payload. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from local_stack.realtime.errors import JoinRefusedError
from local_stack.realtime.wire import inspect_term


@dataclass(frozen=True, slots=True)
class JoinOptions:
    """Options of one join, with the defaults where a value could not be used.

    Attributes:
        postgres_changes: the bindings as sent, nulls dropped; None in a join without ``config``.
        replay: the raw value; ``replay_present`` tells null from absent.
        token: replaces the socket's token for this channel; None keeps that one.
    """

    private: bool = False
    ack: bool = False
    self_broadcast: bool = False
    replication_ready: bool = False
    replay_present: bool = False
    replay: Any = None
    presence_enabled: bool = False
    presence_key: str = ""
    postgres_changes: list[Any] = field(default_factory=list)
    is_legacy: bool = False
    token: str | None = None


def parse_join(payload: Any) -> JoinOptions:
    """Return the options of a join payload.

    Raises:
        JoinRefusedError: the payload, ``config`` or its ``broadcast`` is not an object.
    """
    if not isinstance(payload, dict):
        raise JoinRefusedError(
            f"UnknownErrorOnChannel: expected params to be a :map, got: `{inspect_term(payload)}`"
        )
    source = payload
    token = _parse_token(source)
    if "config" not in source:
        return JoinOptions(is_legacy=True, token=token)
    config = {} if source["config"] is None else source["config"]
    _check_access(config, "broadcast")
    _check_access(config.get("broadcast"), "replay")
    broadcast = _parse_object(config.get("broadcast"))
    presence = _parse_object(config.get("presence"))
    return JoinOptions(
        private=_parse_bool(config.get("private")),
        ack=_parse_bool(broadcast.get("ack")),
        self_broadcast=_parse_bool(broadcast.get("self")),
        replication_ready=_parse_bool(broadcast.get("replication_ready")),
        replay_present="replay" in broadcast,
        replay=broadcast.get("replay"),
        presence_enabled=_parse_bool(presence.get("enabled")),
        presence_key=_parse_key(presence.get("key")),
        postgres_changes=_parse_bindings(config.get("postgres_changes")),
        token=token,
    )


def _check_access(value: Any, key: str) -> None:
    """Refuse what cannot be looked into, in the words of the real server; null is an object."""
    if value is None or isinstance(value, dict):
        return
    text = "no function clause matching in Access.get/3"
    if isinstance(value, list):
        text = (
            "the Access module supports only keyword lists (with atom keys), "
            f'got: "{key}"\n\nIf you want to search lists of tuples, use List.keyfind/3'
        )
    raise JoinRefusedError(f"UnknownErrorOnChannel: {text}")


def _parse_token(source: dict[str, Any]) -> str | None:
    for name in ("user_token", "access_token"):
        value = source.get(name)
        if isinstance(value, str):
            return value
    return None


def _parse_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _parse_bool(value: Any) -> bool:
    if isinstance(value, str):
        return value.lower() == "true"
    return value is True


def _parse_key(value: Any) -> str:
    if value is None or isinstance(value, bool | dict | list):
        return ""
    return str(value)


def _parse_bindings(value: Any) -> list[Any]:
    if not isinstance(value, list):
        return []
    return [binding for binding in value if binding is not None]
