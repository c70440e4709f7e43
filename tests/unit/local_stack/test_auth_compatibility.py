"""The compatibility page says what is refused, and names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

from local_stack.auth.refused import GRANTS, PATHS

REPOSITORY = Path(__file__).resolve().parents[3]
PAGE = (REPOSITORY / "local_stack/auth/COMPATIBILITY.md").read_text(encoding="utf-8")


def test_every_refusal_is_listed_with_status_and_code() -> None:
    """The table of refusals and the code have the same rows."""
    rows = re.findall(r"^\| `([^`]+)` \| (\d{3}) \| `(\w+)` \|$", PAGE, re.MULTILINE)
    paths = {path.replace("{rest:path}", "…"): one for path, one in PATHS.items()}
    grants = {f"grant_type={name}": one for name, one in GRANTS.items()}
    refused = [(name, str(one.status), one.code) for name, one in {**paths, **grants}.items()]
    assert sorted(rows) == sorted(refused)


def test_every_named_test_exists() -> None:
    """A row cannot claim a test that has gone."""
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    files = [
        *(REPOSITORY / "tests/integration/auth").glob("test_*.py"),
        *(REPOSITORY / "tests/integration/gateway").glob("test_*.py"),
        *(REPOSITORY / "tests/interop").glob("test_*.py"),
        *(REPOSITORY / "tests/unit/local_stack").glob("test_*.py"),
    ]
    text = "\n".join(file.read_text(encoding="utf-8") for file in files)
    present = set(re.findall(r"def (test_\w+)\(", text))
    assert len(named) > 40
    assert named - present == set()
