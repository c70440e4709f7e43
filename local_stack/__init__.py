"""A local, Supabase-compatible stack: PostgreSQL with REST, Auth and Realtime in one process.

For development, tests and single-machine use; it binds to loopback only.

Names are imported on first use, so that a light part such as `local_stack.ports` does not load
the servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from local_stack.background import BackgroundStack
    from local_stack.config import StackConfig
    from local_stack.databases import FreshDatabase
    from local_stack.errors import StackError
    from local_stack.faults import Faults
    from local_stack.keys import ProjectKeys
    from local_stack.stack import LocalStack

__all__ = [
    "BackgroundStack",
    "Faults",
    "FreshDatabase",
    "LocalStack",
    "ProjectKeys",
    "StackConfig",
    "StackError",
]

_HOMES = {
    "BackgroundStack": "local_stack.background",
    "Faults": "local_stack.faults",
    "FreshDatabase": "local_stack.databases",
    "LocalStack": "local_stack.stack",
    "ProjectKeys": "local_stack.keys",
    "StackConfig": "local_stack.config",
    "StackError": "local_stack.errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # see the module's docstring

    return getattr(import_module(_HOMES[name]), name)
