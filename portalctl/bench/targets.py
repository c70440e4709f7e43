"""Targets, and what a result says about them. Pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A number of a benchmark's result, and its limit.

    Attributes:
        path: Keys of the result; `*` matches as in file names.
        limit: In `unit`.
        is_least: Whether the number has to be at least the limit, instead of at most.
        unit: As it is shown.
        factor: What the result's number is multiplied with to be in `unit`.
    """

    path: tuple[str, ...]
    limit: float
    is_least: bool
    unit: str
    factor: float = 1.0

    def seen(self, result: Mapping[str, Any]) -> float | None:
        """Return the number in a result: the worst of several, None where there is none."""
        found = [value * self.factor for value in _at(result, self.path)]
        if not found:
            return None
        return min(found) if self.is_least else max(found)

    def is_met_by(self, seen: float) -> bool:
        """Tell whether a number keeps the limit."""
        return seen >= self.limit if self.is_least else seen <= self.limit


@dataclass(frozen=True, slots=True)
class Target:
    """What a benchmark is to show, in one line, and the figures that decide."""

    benchmark: str
    text: str
    figures: tuple[Figure, ...]


def parse_targets(text: str) -> tuple[Target, ...]:
    """Return the targets of `benchmarks/targets.toml`, in its order.

    Raises:
        ValueError, LookupError: It is not such a file.
    """
    return tuple(
        Target(
            entry["benchmark"],
            entry["text"],
            tuple(_figure(figure) for figure in entry.get("figures", [])),
        )
        for entry in tomllib.loads(text)["target"]
    )


def _figure(entry: Mapping[str, Any]) -> Figure:
    is_least = "at_least" in entry
    return Figure(
        tuple(entry["path"]),
        float(entry["at_least" if is_least else "at_most"]),
        is_least,
        entry["unit"],
        float(entry.get("factor", 1)),
    )


def _at(value: Any, path: tuple[str, ...]) -> Iterator[float]:
    if not path:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if fnmatchcase(key, path[0]):
                yield from _at(inner, path[1:])
