"""Show the demo while it runs: a live picture on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table
from rich.text import Text

from portalctl.demo.progress import Progress, Seat

_PICTURES_PER_S: Final = 4.0
_COLUMNS: Final = 2
_STATE_STYLES: Final = {"live": "green", "catching_up": "yellow", "connecting": "dim"}
_LINE_EVERY_SHARE: Final = 0.1


class View(Protocol):
    """Something that shows progress. A context manager; `update` may be called very often."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

    def update(self) -> None:
        """Show what has changed, if it is time to."""


def view_of(progress: Progress, console: Console) -> View:
    """Return the view that suits where the console writes to."""
    return LiveView(progress, console) if console.is_terminal else PlainView(progress, console)


class PlainView:
    """One line per phase and per tenth of the day."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._phase = ""
        self._tenth = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        return None

    def update(self) -> None:
        """Write a line when a phase began or another tenth of the day is done."""
        progress = self._progress
        tenth = int(progress.actions_done / max(progress.actions_total, 1) / _LINE_EVERY_SHARE)
        if tenth > self._tenth:
            self._tenth = tenth
            self._console.out(
                f"demo: {progress.actions_done}/{progress.actions_total} staff actions, "
                f"{progress.received_count} changes received, {progress.live_count} portals live",
                highlight=False,
            )
        if progress.phase != self._phase:
            self._phase = progress.phase
            self._console.out(f"demo: {self._phase}", highlight=False)


class LiveView:
    """A progress bar and every customer's portal, redrawn a few times a second."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress = progress
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._bar = ProgressBar(
            TextColumn("{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn()
        )
        self._task = self._bar.add_task("", total=progress.actions_total)
        self._drawn_at_s = 0.0
        self._phase = ""

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        self._live.stop()

    def update(self) -> None:
        """Draw again, unless that was done just now: drawing takes time from the portals."""
        now_s = time.monotonic()
        recently = now_s - self._drawn_at_s < 1 / _PICTURES_PER_S
        if recently and self._phase == self._progress.phase:
            return
        self._drawn_at_s, self._phase = now_s, self._progress.phase
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        progress = self._progress
        self._bar.update(
            self._task, completed=progress.actions_done, description=progress.phase or "…"
        )
        cut = (
            f"  ·  {progress.cut_connections} sockets were cut"
            if progress.cut_connections is not None
            else ""
        )
        line = (
            f"{progress.received_count} changes received  ·  "
            f"{progress.live_count} of {len(progress.seats)} portals live{cut}"
        )
        return Group(
            self._bar, Text(progress.last_action, "dim"), _seats(progress.seats), Text(line)
        )


def _seats(seats: list[Seat]) -> Table:
    table = Table(box=None, pad_edge=False, expand=True)
    for _ in range(_COLUMNS):
        table.add_column("customer", no_wrap=True)
        table.add_column("portal", no_wrap=True)
        table.add_column("last change", no_wrap=True, ratio=1)
        table.add_column("ms", justify="right", no_wrap=True)
    height = -(-len(seats) // _COLUMNS)
    for row in range(height):
        cells: list[Text] = []
        for seat in seats[row::height]:
            cells += _cells(seat)
        table.add_row(*cells)
    return table


def _cells(seat: Seat) -> list[Text]:
    latency = "" if seat.last_latency_ms is None else f"{seat.last_latency_ms:.1f}"
    return [
        Text(seat.email.partition("@")[0]),
        Text(f"● {seat.state}", _STATE_STYLES.get(seat.state, "red")),
        Text(f"{seat.received_count:>3} {seat.last_change}", overflow="ellipsis"),
        Text(latency),
    ]
