"""The recorded day: it is what its generator makes, and a bad file is refused with its line."""

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path

import pytest

from portalctl.demo.day import default_day_path, load_day
from portalctl.demo.errors import DayFileError
from portalctl.demo.people import CONNECTED_CUSTOMERS
from portalctl.exits import ExitCode

DATA = Path(__file__).parents[3] / "examples" / "data"


def generator(monkeypatch):
    spec = importlib.util.spec_from_file_location("make_working_day", DATA / "make_working_day.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def test_the_file_is_what_its_generator_makes(monkeypatch):
    module = generator(monkeypatch)
    made = module.render(module.make_day())
    assert made == (DATA / "working_day.jsonl").read_text(encoding="utf-8")


def test_the_day_is_big_and_varied_enough():
    actions = load_day(default_day_path())
    assert len(actions) >= 300
    assert len({action.staff for action in actions}) == 5
    assert set(Counter(action.action for action in actions)) >= {
        "create_customer", "update_customer", "create_job", "reschedule_job", "start_job",
        "complete_job", "create_invoice", "send_invoice", "pay_invoice", "post_message",
        "award_points",
    }  # fmt: skip
    watched = {action.customer for action in actions if isinstance(action.customer, int)}
    assert watched >= set(range(1, CONNECTED_CUSTOMERS + 1)), "every portal has something to see"
    assert any(number > CONNECTED_CUSTOMERS for number in watched), "and some belongs to nobody"


def test_edits_of_one_row_are_made_by_one_person():
    """So that five people at once always leave the same rows behind."""
    keepers: dict[object, set[str]] = {}
    for action in load_day(default_day_path()):
        if action.action in {"update_customer", "award_points"}:
            keepers.setdefault(action.customer, set()).add(action.staff)
    assert {len(staff) for staff in keepers.values()} == {1}


def write(folder: Path, *lines: object) -> Path:
    path = folder / "day.jsonl"
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text, encoding="utf-8")
    return path


MAKE = {
    "seq": 1, "at_s": 5, "staff": "agent-1", "action": "create_job", "customer": 1, "ref": "job-1",
    "fields": {"title": "Tap"},
}  # fmt: skip
START = {
    "seq": 2, "at_s": 9, "staff": "agent-1", "action": "start_job", "customer": 1, "of": "job-1"
}  # fmt: skip


def test_a_good_file_is_read(tmp_path):
    assert len(load_day(write(tmp_path, MAKE, START))) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "holds no actions"),
        (("{not json",), ":1: "),
        ((MAKE, {**START, "action": "dance"}), ":2: action: "),
        (({**MAKE, "staff": "boss-1"},), ":1: staff: "),
        (({**MAKE, "at_s": -1},), ":1: at_s: "),
        (({**MAKE, "colour": "red"},), ":1: colour: "),
        (({**START, "of": None},), "needs `of`"),
        ((START,), "has not made before"),
        ((MAKE, {**START, "staff": "agent-2"}), "which agent-2 has not made before"),
        ((MAKE, {**START, "at_s": 1}), "earlier than the one before"),
        (({**MAKE, "customer": "customer-1"},), "has not made before"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(tmp_path, lines, message):
    with pytest.raises(DayFileError) as caught:
        load_day(write(tmp_path, *lines))
    assert message in str(caught.value)
    assert caught.value.code is ExitCode.USAGE


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(DayFileError, match="cannot be read"):
        load_day(tmp_path / "none.jsonl")
