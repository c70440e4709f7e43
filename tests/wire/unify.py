"""Compare a recorded value with a real one, learning what its placeholders stand for.

``<name 1>`` stands for one value wherever it occurs, and two numbers of a kind for two values;
``<time>`` and ``<commit time>`` for any moment of that form; ``<any>`` for anything; a name in
``shared`` for the value given there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_NUMBERED = re.compile(r"<(binding|uuid|ref) \d+>")
_PLACEHOLDER = re.compile(r"<(?:(?:binding|uuid|ref) \d+|time|commit time|any)>")
_FORMS = {
    "<time>": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00|\+00)?",
    "<commit time>": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "<any>": r"(?s:.*)",
}
_KINDS = {"uuid": r"[0-9a-f-]{36}", "ref": r"[\w-]{16}", "binding": r"\d+"}


@dataclass(slots=True)
class Unifier:
    """What placeholders of one transcript have turned out to be."""

    shared: dict[str, Any]
    known: dict[str, Any] = field(default_factory=dict)

    def differences(self, expected: Any, actual: Any, at: str = "") -> list[str]:
        """Return where the two differ, nothing when they agree; only then is anything learnt."""
        before = dict(self.known)
        found = self._compare(expected, actual, at)
        if found:
            self.known = before
        return found

    def _compare(self, expected: Any, actual: Any, at: str) -> list[str]:
        if isinstance(expected, str):
            return self._compare_text(expected, actual, at)
        if isinstance(expected, dict) and isinstance(actual, dict):
            return self._compare_objects(expected, actual, at)
        if isinstance(expected, list) and isinstance(actual, list):
            if len(expected) != len(actual):
                return [f"{at}: expected {expected!r}, got {actual!r}"]
            pairs = zip(expected, actual, strict=True)
            return [d for n, (e, a) in enumerate(pairs) for d in self._compare(e, a, f"{at}[{n}]")]
        same = type(expected) is type(actual) and expected == actual
        return [] if same else [f"{at}: expected {expected!r}, got {actual!r}"]

    def _compare_objects(
        self, expected: dict[str, Any], actual: dict[str, Any], at: str
    ) -> list[str]:
        found: list[str] = []
        rest = dict(actual)
        # Plain keys first, so that placeholders among the keys stand for what is left.
        for key in sorted(expected, key=lambda k: bool(_PLACEHOLDER.search(k))):
            if key in rest:
                found += self._compare(expected[key], rest.pop(key), f"{at}.{key}")
                continue
            for real in list(rest):
                below = [
                    *self._compare_text(key, real, f"{at}.{key}"),
                    *self._compare(expected[key], rest[real], f"{at}.{key}"),
                ]
                if not below:
                    del rest[real]
                    break
            else:
                where = f"{at}.{key}"
                return [*found, f"{where}: expected {expected[key]!r}, got {actual!r}"]
        return found + [f"{at}.{key}: unexpected {value!r}" for key, value in rest.items()]

    def _compare_text(self, expected: str, actual: Any, at: str) -> list[str]:
        if expected in self.shared:
            return self._compare(self.shared[expected], actual, at)
        if expected == "<any>":
            return []
        numbered = _NUMBERED.fullmatch(expected)
        if numbered is not None and numbered[1] == "binding":
            return self._learn(expected, actual, at)
        if not isinstance(actual, str):
            return [f"{at}: expected {expected!r}, got {actual!r}"]
        return self._match(expected, actual, at)

    def _match(self, expected: str, actual: str, at: str) -> list[str]:
        names: list[str] = []
        pattern, last = "", 0
        for place in _PLACEHOLDER.finditer(expected):
            name = place[0]
            kind = name.strip("<>").split()[0]
            pattern += re.escape(expected[last : place.start()])
            pattern += f"({_FORMS.get(name) or _KINDS[kind]})".replace("(\\.", "(?:\\.").replace(
                "(\\+", "(?:\\+"
            )
            names.append(name)
            last = place.end()
        match = re.fullmatch(pattern + re.escape(expected[last:]), actual)
        if match is None:
            return [f"{at}: expected {expected!r}, got {actual!r}"]
        numbered = [(n, v) for n, v in zip(names, match.groups(), strict=True) if " " in n]
        return [d for n, v in numbered if _NUMBERED.fullmatch(n) for d in self._learn(n, v, at)]

    def _learn(self, name: str, value: Any, at: str) -> list[str]:
        if name in self.known:
            known = self.known[name]
            return [] if known == value else [f"{at}: {name} was {known!r}, got {value!r}"]
        kind = name.split(maxsplit=1)[0]
        if any(k.startswith(kind) and v == value for k, v in self.known.items()):
            return [f"{at}: {name} is {value!r}, which another {kind}> is already"]
        self.known[name] = value
        return []
