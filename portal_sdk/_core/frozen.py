"""Values that nobody changes, at the price of ordinary ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

ValueT = TypeVar("ValueT")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[ValueT]) -> type[ValueT]:
    """Make a class a dataclass with slots, to whose attributes nothing is assigned.

    For values inside the SDK of which every change of a row makes some. The type checkers refuse
    an assignment, as they do for ``dataclass(frozen=True)``; that one also refuses it at run time,
    and for it makes each value four times as slowly. What applications are given stays frozen.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
