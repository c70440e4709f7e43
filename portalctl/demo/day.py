"""The recorded working day: what one line means, and reading it from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from portalctl.demo.errors import DayFileError

ActionName = Literal[
    "create_customer",
    "update_customer",
    "create_job",
    "reschedule_job",
    "start_job",
    "complete_job",
    "create_invoice",
    "send_invoice",
    "pay_invoice",
    "post_message",
    "award_points",
]
_ON_EARLIER_ROW = frozenset(
    {"reschedule_job", "start_job", "complete_job", "send_invoice", "pay_invoice"}
)
_PROJECT_DIR = Path(__file__).resolve().parents[2]
_PACKAGE_DIR = Path(__file__).resolve().parents[1]


class Action(BaseModel):
    """One thing one member of staff did.

    `customer` is a number of the demo data, or the name of a customer made earlier that day. `ref`
    names the row this action makes; `of` names the row, made earlier by the same person, that it
    changes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    seq: int = Field(ge=1)
    at_s: float = Field(ge=0)
    staff: str = Field(pattern=r"^(agent|manager|admin)-[1-9]$")
    action: ActionName
    customer: int | str
    ref: str | None = None
    of: str | None = None
    fields: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_its_row(self) -> Self:
        if (self.action in _ON_EARLIER_ROW) != (self.of is not None):
            raise ValueError(f"{self.action} {'needs' if self.of is None else 'has no'} `of`")
        return self

    @property
    def role(self) -> str:
        """The login of this member of staff: the word before the dash."""
        return self.staff.partition("-")[0]


def default_day_path() -> Path:
    """Return where the recorded day lies: in the checkout, else inside the installed package.

    Raises:
        DayFileError: It is in neither place.
    """
    name = "working_day.jsonl"
    candidates = (
        _PROJECT_DIR / "examples" / "data" / name,
        _PACKAGE_DIR / "_project" / "examples" / "data" / name,
    )
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise DayFileError(
        f"The recorded day {name} is not installed.", "Run the demo from a checkout: make demo"
    )


def load_day(path: Path) -> tuple[Action, ...]:
    """Read a recorded day; any number of its first actions is a day too.

    Args:
        path: A file of JSON lines in order of time.

    Raises:
        DayFileError: Unreadable, empty, a line that is no action, out of order, or a row used
            before it is made or by somebody else; names file, line and field.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DayFileError(
            f"{path}: cannot be read ({error}).", "Name another with --day."
        ) from error
    actions = tuple(_parse_line(path, number, line) for number, line in enumerate(lines, 1) if line)
    if not actions:
        raise DayFileError(f"{path}: holds no actions.", "Name another with --day.")
    _require_order(path, actions)
    return actions


def _parse_line(path: Path, number: int, line: str) -> Action:
    try:
        return Action.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DayFileError(
            f"{path}:{number}: {where + ': ' if where else ''}{first['msg']}.",
            "Correct the line; examples/data/make_working_day.py describes the format.",
        ) from error


def _require_order(path: Path, actions: tuple[Action, ...]) -> None:
    made: dict[str, str] = {}
    last_at_s = 0.0
    for action in actions:
        if action.at_s < last_at_s:
            raise DayFileError(f"{path}: action {action.seq} is earlier than the one before it.")
        last_at_s = action.at_s
        used = [action.of] if action.of else []
        if isinstance(action.customer, str) and action.action != "create_customer":
            used.append(action.customer)
        for name in used:
            if made.get(name) != action.staff:
                raise DayFileError(
                    f"{path}: action {action.seq} uses {name!r}, which {action.staff} "
                    "has not made before."
                )
        if action.ref:
            made[action.ref] = action.staff
