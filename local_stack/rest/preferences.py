"""The ``Prefer`` header: which preferences are understood, and which were applied."""

from collections.abc import Iterable, Set
from dataclasses import dataclass

from local_stack.rest.errors import RequestError

_CHOICES: dict[str, tuple[str, ...]] = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "return": ("representation", "headers-only", "minimal"),
    "count": ("exact", "planned", "estimated"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
}
_APPLIED_ORDER = (
    "resolution",
    "missing",
    "return",
    "count",
    "tx",
    "handling",
    "timezone",
    "max-affected",
)


@dataclass(frozen=True, slots=True)
class Preferences:
    """What the client prefers; ``None`` where it did not say."""

    resolution: str | None = None
    missing: str | None = None
    returning: str | None = None
    count: str | None = None
    transaction: str | None = None
    handling: str | None = None
    timezone: str | None = None
    max_affected: int | None = None
    invalid: tuple[str, ...] = ()

    @property
    def strict(self) -> bool:
        """Whether unknown preferences are refused."""
        return self.handling == "strict"

    @property
    def represents(self) -> bool:
        """Whether written rows are returned."""
        return self.returning == "representation"

    def refuse_invalid(self) -> None:
        """Refuse unknown preferences when the client asked for strict handling.

        Raises:
            RequestError: PGRST122.
        """
        if self.strict and self.invalid:
            listed = ", ".join(self.invalid)
            raise RequestError("PGRST122", details=f"Invalid preferences: {listed}")

    def applied(self, names: Set[str]) -> str | None:
        """Render ``Preference-Applied`` for those of ``names`` that were sent."""
        values: dict[str, object] = {
            "resolution": self.resolution,
            "missing": self.missing,
            "return": self.returning,
            "count": self.count,
            "tx": self.transaction,
            "handling": self.handling,
            "timezone": self.timezone,
            "max-affected": self.max_affected if self.strict else None,
        }
        parts = [
            f"{name}={values[name]}"
            for name in _APPLIED_ORDER
            if name in names and values[name] is not None
        ]
        return ", ".join(parts) if parts else None


_NONE = Preferences()


def parse_preferences(
    headers: Iterable[str], timezones: Set[str], *, allow_transaction: bool
) -> Preferences:
    """Read all ``Prefer`` headers; the first of contradicting preferences wins.

    Args:
        headers: Header values in order.
        timezones: Names that PostgreSQL knows.
        allow_transaction: Whether ``tx=`` has an effect.
    """
    words = [word.strip() for header in headers for word in header.split(",")]
    if not words:
        return _NONE
    chosen: dict[str, str] = {}
    invalid: list[str] = []
    for word in words:
        name, _, value = word.partition("=")
        if _is_known(name, value, timezones):
            chosen.setdefault(name, value)
        else:
            invalid.append(word)
    affected = chosen.get("max-affected")
    return Preferences(
        resolution=chosen.get("resolution"),
        missing=chosen.get("missing"),
        returning=chosen.get("return"),
        count=chosen.get("count"),
        transaction=chosen.get("tx") if allow_transaction else None,
        handling=chosen.get("handling"),
        timezone=chosen.get("timezone"),
        max_affected=int(affected) if affected is not None else None,
        invalid=tuple(invalid),
    )


def _is_known(name: str, value: str, timezones: Set[str]) -> bool:
    if name == "timezone":
        return value in timezones
    if name == "max-affected":
        return value.isascii() and value.isdigit() and len(value) < 19
    return value in _CHOICES.get(name, ())
