"""Where the command line writes: results to stdout, progress and errors to stderr.

Rich decides by itself about colour and width: no escape codes when the stream is not a terminal, no
colour when NO_COLOR is set or TERM is "dumb". Text is written as it is: a folder may be called
`[/red]`, and a message may hold `:name:`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from portalctl.exits import CommandError


def stdout() -> Console:
    """Return a console on standard output, for results."""
    return Console(soft_wrap=True, highlight=False, markup=False, emoji=False)


def stderr() -> Console:
    """Return a console on standard error, for progress and messages."""
    return Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


@contextmanager
def steps(what: str, *, lines: bool = True) -> Iterator[Callable[[str, int, int], None]]:
    """Show how far something long is: a bar on a terminal, one line per step elsewhere.

    Args:
        what: Before the bar.
        lines: False: nothing elsewhere.

    Yields:
        To be called before each step with its name, its number from 1 and their count.
    """
    console = stderr()
    if not console.is_terminal:

        def write(name: str, number: int, count: int) -> None:
            if lines:
                console.print(f"… {number}/{count} {name}", style="dim")

        yield write
        return
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TextColumn("{task.fields[name]}", style="dim", markup=False)),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(what, total=None, name="")

        def show(name: str, number: int, count: int) -> None:
            progress.update(task, completed=number - 1, total=count, name=name)

        yield show


def write_json(value: Mapping[str, object]) -> None:
    """Write one JSON object as one line on standard output, for machines."""
    stdout().out(json.dumps(value, separators=(", ", ": ")), highlight=False)


def write_error(command: str, error: CommandError) -> None:
    """Write an error as one line on standard error: what is wrong, then what to do."""
    line = Text.assemble((f"{command}: ", "bold red"), error.problem)
    if error.advice:
        line.append(f" {error.advice}")
    stderr().print(line)
