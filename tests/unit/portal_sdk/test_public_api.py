"""The public surface: every name documented, none forgotten, typed as promised."""

from __future__ import annotations

import functools
import importlib
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import portal_sdk
from portal_sdk import blocking, rooms

ROOT = Path(__file__).parents[3]
PUBLIC_MODULES = [
    "portal_sdk",
    "portal_sdk.blocking",
    "portal_sdk.metrics",
    "portal_sdk.realtime",
    "portal_sdk.rooms",
    "portal_sdk.telemetry",
    "portal_sdk.testing",
]
ROOM_OWNER = {"broadcast", "change", "doubted", "ended", "joined", "lost", "presence"}
FOR_THE_PORTAL = {
    "close", "deliver", "forget", "has_subscribers", "items", "reset_views", "subscribers",
    "to_change", "touch_views",
}  # fmt: skip
PROPERTIES = property | functools.cached_property
PRIVATE_TYPES = ("realtime._async", "realtime.types", "websockets", "aiohttp", "yarl", "postgrest")


def public_members(owner: Any) -> list[tuple[str, Any]]:
    """What a class of ours defines under public names."""
    return [
        (name, member)
        for name, member in vars(owner).items()
        if not name.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, PROPERTIES | classmethod))
    ]


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_every_public_name_is_documented(name: str) -> None:
    """Modules, classes, functions, methods and properties say what they do."""
    module: ModuleType = importlib.import_module(name)
    assert module.__doc__
    undocumented = []
    for exported in module.__all__:
        value = getattr(module, exported)
        if not (inspect.isclass(value) or inspect.isfunction(value)):
            continue
        if not value.__doc__:
            undocumented.append(exported)
        for cls in inspect.getmro(value) if inspect.isclass(value) else ():
            if cls.__module__.startswith("portal_sdk"):
                undocumented += [
                    f"{cls.__qualname__}.{member_name}"
                    for member_name, member in public_members(cls)
                    if not inspect.getdoc(member)
                ]
    assert undocumented == []


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_every_exported_name_exists_once_and_in_order(name: str) -> None:
    """__all__ is sorted, complete and free of repetitions."""
    exported = importlib.import_module(name).__all__
    assert sorted(set(exported)) == list(exported)


def test_every_error_is_exported_and_says_whether_to_retry() -> None:
    """The tree of portal_sdk.errors is the public one."""
    errors = importlib.import_module("portal_sdk.errors")
    tree = errors.__doc__ or ""
    for name, value in vars(errors).items():
        if inspect.isclass(value) and issubclass(value, portal_sdk.PortalError):
            assert getattr(portal_sdk, name) is value, name
            assert isinstance(value.retryable, bool)
            assert name in tree, f"{name} is missing from the tree in the module's docstring"


def test_no_type_of_the_official_client_is_in_a_public_signature() -> None:
    """The transport can be replaced without breaking an application."""
    for module_name in PUBLIC_MODULES:
        module = importlib.import_module(module_name)
        for exported in module.__all__:
            value = getattr(module, exported)
            for _name, member in public_members(value) if inspect.isclass(value) else ():
                function = getattr(member, "fget", None) or getattr(member, "func", member)
                hints = str(getattr(function, "__annotations__", {}))
                if module_name != "portal_sdk.testing":
                    assert not any(private in hints for private in PRIVATE_TYPES), hints


FACADE = [
    (portal_sdk.Portal, blocking.Portal, {"changes_applied", "progressed"}),
    (rooms.PresenceRoom, blocking.PresenceRoom, ROOM_OWNER),
    (rooms.BroadcastRoom, blocking.BroadcastRoom, ROOM_OWNER),
    (rooms.TypingIndicator, blocking.TypingIndicator, {"close", "take"}),
    (portal_sdk.PendingWrite, blocking.PendingWrite, {"end", "move"}),
    (portal_sdk.Outbox, blocking.Outbox, {"add", "clear", "close", "move"}),
    (portal_sdk.Jobs, blocking.Jobs, FOR_THE_PORTAL),
    (portal_sdk.Messages, blocking.Messages, FOR_THE_PORTAL),
    (portal_sdk.Loyalty, blocking.Loyalty, FOR_THE_PORTAL),
    (portal_sdk.Profile, blocking.Profile, FOR_THE_PORTAL),
    (portal_sdk.LiveTable, blocking.Table, FOR_THE_PORTAL),
    (portal_sdk.TableView, blocking.View, {"reset", "shown", "touch"}),
    (portal_sdk.GroupedView, blocking.GroupedView, set[str]()),
]


@pytest.mark.parametrize(("original", "facade", "internal"), FACADE)
def test_the_blocking_facade_has_everything(original: Any, facade: Any, internal: set[str]) -> None:
    """What applications use is there for plain threads; what only the portal calls is not."""

    def names(owner: Any) -> set[str]:
        return {name for name in dir(owner) if not name.startswith("_")}

    assert names(original) - names(facade) == internal
    operators = ("__getitem__", "__iter__", "__len__", "__contains__")
    assert [name for name in operators if hasattr(original, name) > hasattr(facade, name)] == []
