"""Remember what short texts parse to: applications send the same few again and again."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

T = TypeVar("T")

_TEXTS = 512
# Longer texts are parsed each time, so that nobody fills the memory with them.
_MAX_CHARS = 300


def remembered(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Wrap a pure function of one text whose results never change; an error is not remembered."""
    cached = lru_cache(maxsize=_TEXTS)(parse)

    @wraps(parse)
    def call(text: str) -> T:
        return cached(text) if len(text) <= _MAX_CHARS else parse(text)

    return call
