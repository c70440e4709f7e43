"""What a query string says, parsed and not yet compared with the schema."""

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote_plus

Conjunction = Literal["and", "or"]
Quantifier = Literal["any", "all"]
Direction = Literal["asc", "desc"]
Nulls = Literal["nullsfirst", "nullslast"]


@dataclass(frozen=True, slots=True)
class JsonStep:
    """One arrow of a JSON path; ``as_text`` is the double arrow."""

    operand: str
    is_index: bool
    as_text: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A column name with an optional JSON path."""

    name: str
    path: tuple[JsonStep, ...] = ()


@dataclass(frozen=True, slots=True)
class SelectField:
    """One column of ``select``; the name ``*`` means all of them."""

    field: Field
    alias: str | None = None
    cast: str | None = None


@dataclass(frozen=True, slots=True)
class SelectEmbed:
    """One embedded relation of ``select`` with its own list.

    Attributes:
        spread: Its columns stand in the row itself, without an object around them.
    """

    name: str
    alias: str | None
    hint: str | None
    inner: bool
    items: tuple["SelectItem", ...]
    spread: bool = False


SelectItem = SelectField | SelectEmbed


@dataclass(frozen=True, slots=True)
class Condition:
    """An operator with its operand.

    ``values`` holds the elements of ``in``; every other operator has exactly one.
    """

    operator: str
    values: tuple[str, ...]
    negated: bool = False
    quantifier: Quantifier | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a field."""

    field: Field
    condition: Condition


@dataclass(frozen=True, slots=True)
class Logic:
    """Filters joined by ``and`` or ``or``."""

    conjunction: Conjunction
    nodes: tuple["LogicNode", ...]
    negated: bool = False


LogicNode = Filter | Logic


@dataclass(frozen=True, slots=True)
class OrderTerm:
    """One term of ``order``; ``relation`` names an embedded to-one relation."""

    field: Field
    relation: str | None = None
    direction: Direction | None = None
    nulls: Nulls | None = None


EmbedPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Rows asked for: ``offset`` onwards, ``limit`` of them (``None`` for all)."""

    offset: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A whole query string."""

    select: tuple[SelectItem, ...]
    filters: tuple[tuple[EmbedPath, LogicNode], ...]
    order: tuple[tuple[EmbedPath, tuple[OrderTerm, ...]], ...]
    windows: dict[EmbedPath, Window]
    columns: tuple[str, ...] | None
    on_conflict: tuple[str, ...] | None
    arguments: tuple[tuple[str, str], ...]
    pairs: tuple[tuple[str, str], ...]

    @property
    def canonical(self) -> str:
        """The parameters sorted and encoded, as `Content-Location` shows them."""
        return "&".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in sorted(self.pairs))
