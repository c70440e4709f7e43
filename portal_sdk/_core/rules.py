"""A transition rule: what a machine does on one event in one state. Data, no behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

StateT = TypeVar("StateT")


@dataclass(frozen=True, slots=True)
class Rule(Generic[StateT]):
    """One cell of a total table.

    Attributes:
        action: Name of the machine's action; ``ignore`` changes nothing.
        targets: States the machine may be in afterwards.
        spec: Number of the rule in docs/protocol.
    """

    action: str
    targets: frozenset[StateT]
    spec: str


Table = Mapping[StateT, Mapping[type, Rule[StateT]]]
