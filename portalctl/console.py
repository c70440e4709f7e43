"""Where the command line writes: results to stdout, progress and errors to stderr.

Rich decides by itself about colour and width: no escape codes when the stream is not a terminal, no
colour when NO_COLOR is set or TERM is "dumb".
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from portalctl.exits import CommandError


def stdout() -> Console:
    """Return a console on standard output, for results."""
    return Console(soft_wrap=True, highlight=False)


def stderr() -> Console:
    """Return a console on standard error, for progress and messages."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def write_json(value: Mapping[str, object]) -> None:
    """Write one JSON object as one line on standard output, for machines."""
    stdout().out(json.dumps(value, separators=(", ", ": ")), highlight=False)


def write_error(command: str, error: CommandError) -> None:
    """Write an error as one line on standard error: what is wrong, then what to do."""
    line = Text.assemble((f"{command}: ", "bold red"), error.problem)
    if error.advice:
        line.append(f" {error.advice}")
    stderr().print(line)
