"""The compatibility page names a test in every row of what works or is refused, and they exist."""

from __future__ import annotations

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "local_stack/rest/COMPATIBILITY.md").read_text(encoding="utf-8")
FOLDERS = {"U": REPOSITORY / "tests/unit/rest", "I": REPOSITORY / "tests/integration/rest"}
_COVERED = ("Reading", "Embedding", "Writing", "Functions", "Identity, errors, life", "Refused")


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _rows(section: str) -> list[list[str]]:
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_row_names_its_test() -> None:
    """The last cell of every row leads to a test, or to the row above."""
    sections = _sections()
    for name in _COVERED:
        rows = _rows(sections[name])
        assert len(rows) >= 6
        bare = [row for row in rows if not re.search(r"`[^`]*test_\w+|same|benchmarks/", row[-1])]
        assert bare == []


def test_every_named_file_exists() -> None:
    """`U test_x.py` is in the unit tests, `I test_x.py` in the integration tests."""
    named = set(re.findall(r"(?<![\w/])([UI]) `(test_\w+\.py)", PAGE))
    assert len(named) > 10
    assert [each for each in named if not (FOLDERS[each[0]] / each[1]).is_file()] == []


def test_every_named_test_exists() -> None:
    """A row cannot claim a test that has gone."""
    files = [file for folder in FOLDERS.values() for file in folder.glob("test_*.py")]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    present = set(re.findall(r"def (test_\w+)\(", text))
    named = set(re.findall(r"(?:`|::)(test_\w+)`", PAGE))
    assert len(named) > 60
    assert named - present == set()
