"""The command line: exit codes, one-line errors, and machine-readable answers."""

import errno
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from local_stack.config import StackConfig
from portalctl import app, console
from portalctl.commands.stack import caution, tell_troubles
from portalctl.exits import CommandError, EnvironmentUnusableError, ExitCode, UsageError


def test_version_for_people(capsys):
    assert app.run(["version"]) == ExitCode.OK
    assert capsys.readouterr().out.startswith("portal-sync ")


def test_version_for_machines(capsys):
    assert app.run(["version", "--json"]) == ExitCode.OK
    answer = json.loads(capsys.readouterr().out)
    assert answer["portal-sync"]
    assert answer["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    "arguments",
    [["dance"], ["version", "--colour"], ["demo", "--actions", "many"], ["demo", "--actions", "1"]],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(capsys, arguments):
    assert app.run(arguments) == ExitCode.USAGE
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert output.err.startswith("portalctl: ")
    assert "portalctl --help" in output.err


def test_no_command_shows_the_help(capsys):
    assert app.run([]) == ExitCode.USAGE
    assert "version" in capsys.readouterr().out


def test_a_stack_that_others_can_reach_is_warned_of_loudly():
    quiet, _ = caution(StackConfig(host="127.0.0.1"))
    assert "ON THIS MACHINE ONLY" in quiet
    loud, style = caution(StackConfig(host="0.0.0.0"))
    assert loud.startswith("WARNING: THE API LISTENS ON 0.0.0.0")
    assert "red" in style


def test_a_host_that_is_no_address_is_refused(capsys):
    assert app.run(["up", "--ephemeral", "--host", "my-machine"]) == ExitCode.USAGE
    assert "host must be an IPv4 or IPv6 address" in capsys.readouterr().err


def test_the_reference_names_every_command():
    page = (Path(__file__).parents[3] / "docs" / "reference" / "portalctl.md").read_text()
    listed = set(re.findall(r"`([a-z]+(?: [a-z]+)?)`", page.partition("| exit code")[0]))

    def names(group: Any, prefix: str = "") -> Iterator[str]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from names(command, f"{name} ")
            else:
                yield prefix + name

    assert set(names(typer.main.get_command(app.create_app()))) == listed - {"dumb"}


def test_help_is_no_error(capsys):
    assert app.run(["--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "demo" in shown
    assert all(f" {code.value} " in shown.partition("Exit codes:")[2] for code in ExitCode)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("It broke.", "Mend it."), 1),
        (UsageError("No such thing.", "Name another."), 2),
        (EnvironmentUnusableError("Nothing runs.", "Start it."), 3),
    ],
)
def test_an_error_becomes_one_line_and_its_exit_code(capsys, monkeypatch, error, code):
    def fail() -> None:
        raise error

    monkeypatch.setattr(app, "_version", fail)
    assert app.run(["version"]) == code
    assert capsys.readouterr().err == f"portalctl: {error.problem} {error.advice}\n"


def test_a_missing_day_is_refused_before_anything_is_started(capsys, tmp_path):
    assert app.run(["demo", "--day", str(tmp_path / "none.jsonl")]) == ExitCode.USAGE
    assert "none.jsonl: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["none/errors.csv", "."])
def test_a_file_for_errors_that_cannot_be_written_is_refused_before_the_import(
    capsys, tmp_path, place
):
    (tmp_path / "customers.csv").write_text("name\nAda\n")
    source, errors = str(tmp_path / "customers.csv"), str(tmp_path / place)
    arguments = ["import", "customers", source, "--token", "t", "--url", "http://127.0.0.1:9"]
    assert app.run([*arguments, "--errors", errors]) == ExitCode.USAGE
    assert "Name another file with --errors." in capsys.readouterr().err


def test_markup_in_a_message_is_not_interpreted(capsys, monkeypatch):
    def fail() -> None:
        raise CommandError("[bold]row [1] is missing[/bold]")

    monkeypatch.setattr(app, "_version", fail)
    app.run(["version"])
    assert "[bold]row [1] is missing[/bold]" in capsys.readouterr().err


@pytest.mark.parametrize("stream", [console.stdout, console.stderr])
def test_text_is_written_as_it_is(capsys, stream):
    stream().print("data in /srv/a[/red] [bold]b[/bold] :smile:")
    assert "".join(capsys.readouterr()) == "data in /srv/a[/red] [bold]b[/bold] :smile:\n"


class _Unwritable(io.StringIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, _text: str) -> int:
        raise self._error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), BrokenPipeError()])
def test_troubles_that_cannot_be_told_do_not_end_the_stack(monkeypatch, error):
    """The disk that is full may be the one that standard error goes to."""
    monkeypatch.setattr(os, "dup2", lambda *_: 0)  # rich lets nothing more out of the process
    monkeypatch.setattr(sys, "stderr", _Unwritable(error))
    tell_troubles(("The disk is full.",))
    tell_troubles(())


def test_without_the_extra_there_is_a_sentence_instead_of_a_traceback():
    program = (
        "import importlib.util as finder\n"
        "find = finder.find_spec\n"
        "finder.find_spec = lambda name: None if name == 'typer' else find(name)\n"
        "from portalctl.__main__ import main\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == ExitCode.ENVIRONMENT
    assert "pip install 'portal-sync[cli]'" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stderr.count("\n") == 1


def test_long_work_shows_a_bar_on_a_terminal_and_lines_elsewhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run() -> str:
        with console.steps("applying") as show:
            for number in (1, 2):
                show(f"file_{number}.sql", number, 2)
        return capsys.readouterr().err

    assert run() == "… 1/2 file_1.sql\n… 2/2 file_2.sql\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "━" in run()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in run()
