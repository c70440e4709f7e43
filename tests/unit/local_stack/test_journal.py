"""The stack's log: its two forms, what it leaves out, what a full disk does to it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import asyncpg
import pytest

from local_stack.errors import StackError
from local_stack.journal import JournalHandler, JsonFormatter, logging_to, without_secrets

LOG = logging.getLogger("local_stack.test")
EMAIL = "jo@example.com"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"token {JWT} refused", "token [removed] refused"),
        ("key sb_secret_abc-DEF_1 refused", "key [removed] refused"),
        ("key sb_publishable_x refused", "key [removed] refused"),
        (
            "postgresql://postgres:p%2Fw@127.0.0.1:5432/postgres",
            "postgresql://[removed]@127.0.0.1:5432/postgres",
        ),
        ("http://127.0.0.1:54321/rest/v1 at 12:30", "http://127.0.0.1:54321/rest/v1 at 12:30"),
    ],
)
def test_secrets_are_masked(text: str, expected: str) -> None:
    """Keys, tokens and passwords in URLs; nothing else."""
    assert without_secrets(text) == expected


def database_error() -> asyncpg.PostgresError:
    error = asyncpg.UniqueViolationError("duplicate key value violates unique constraint")
    error.detail = f"Key (email)=({EMAIL}) already exists."
    error.sqlstate = "23505"
    return error


@pytest.mark.parametrize("form", ["text", "json"])
def test_failures_are_logged_without_values(tmp_path: Path, form: str) -> None:
    """Type, place and code are there; row data and foreign messages are not."""
    file = tmp_path / "stack.log"
    with logging_to(file, "info", form):
        try:
            try:
                raise database_error()
            except asyncpg.PostgresError as error:
                raise ValueError(f"{EMAIL} is not a number") from error
        except ValueError:
            LOG.exception("the request failed")
        try:
            raise StackError(f"harmless, but for {JWT}")
        except StackError:
            LOG.exception("the stack failed")
    text = file.read_text()
    assert EMAIL not in text
    assert JWT not in text
    for part in ("ValueError", "23505", "duplicate key value", "test_journal.py", "harmless"):
        assert part in text


@pytest.mark.parametrize("error", [ConnectionRefusedError(111, "refused"), StackError("broken")])
def test_a_database_that_is_not_there_has_no_place_in_the_code(
    tmp_path: Path, error: Exception
) -> None:
    """What waits for it says so again and again; any other failure is told with its place."""
    with logging_to(tmp_path / "log", "info"):
        try:
            raise error
        except (OSError, StackError):
            logging.getLogger("local_stack.x").warning("no connection", exc_info=True)
    text = (tmp_path / "log").read_text()
    assert type(error).__name__ in text
    assert ("File " in text) is isinstance(error, StackError)


def test_json_lines_have_the_documented_fields(tmp_path: Path) -> None:
    """One object per line, whatever the message contains."""
    file = tmp_path / "stack.log"
    with logging_to(file, "info", "json"):
        LOG.warning("two\nlines and %s", "ünicode")
        LOG.debug("below the level")
    [line] = file.read_text(encoding="utf-8").splitlines()
    facts = json.loads(line)
    assert facts.pop("time").endswith("Z")
    assert facts == {
        "level": "warning",
        "logger": "local_stack.test",
        "message": "two\nlines and ünicode",
        "process": os.getpid(),
    }


def test_lines_that_cannot_be_written_are_counted(tmp_path: Path) -> None:
    """A full disk costs lines of the log and nothing else; the log says how many."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    file = tmp_path / "stack.log"
    handler = JournalHandler(file)
    handler.setFormatter(JsonFormatter())
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "hello", None, None)
    handler.baseFilename = str(full)
    handler.stream.close()
    handler.stream = None
    handler.maxBytes = 0
    handler.handle(record)
    handler.handle(record)
    handler.baseFilename = str(file)
    handler.handle(record)
    handler.close()
    messages = [json.loads(line)["message"] for line in file.read_text().splitlines()]
    assert messages == ["2 lines of this log could not be written; is the disk full?", "hello"]
