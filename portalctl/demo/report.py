"""The result of a demo, for people and for machines."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from portalctl.demo.checker import CacheDifference, Counts
from portalctl.demo.latency import LatencySummary


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What came out of one demo.

    Attributes:
        writes: Staff writes the service accepted.
        counts: All customers' changes, compared with their logs.
        latency: From a staff request being sent to the customer's callback, over every received
            change of such a request, those that came by catch-up included.
        live: The part that came over the doorbell.
        catch_up: The part that was missed at first and came with the catch-up after the cut.
        cut_connections: Sockets that were reset half-way.
        cache_differences: (customer, difference) for every row of a cache that is not as selected.
        not_live: (customer, state) of every portal that was not live at the end.
        seconds: Wall time of the whole demo.
    """

    writes: int
    counts: Counts
    latency: LatencySummary
    live: LatencySummary
    catch_up: LatencySummary
    cut_connections: int
    cache_differences: tuple[tuple[str, CacheDifference], ...]
    not_live: tuple[tuple[str, str], ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, repeated, reordered, leaked, left stale or left behind."""
        return (
            self.counts.clean
            and self.counts.expected > 0
            and not self.cache_differences
            and not self.not_live
        )

    def as_json(self) -> dict[str, object]:
        """Return the object that `portalctl demo --json` prints."""
        counts = self.counts
        return {
            "writes": self.writes,
            "expected": counts.expected,
            "received": counts.received,
            "lost": counts.lost,
            "duplicated": counts.duplicated,
            "out_of_order": counts.out_of_order,
            "leaked": counts.leaked,
            "latency_ms": self.latency.as_json(),
        }


def write_summary(result: DemoResult, console: Console) -> None:
    """Write the summary table."""
    counts = result.counts
    table = Table(title="One working day", title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value in (
        ("staff writes", result.writes),
        ("sockets cut half-way", result.cut_connections),
        ("changes expected", counts.expected),
        ("changes received", counts.received),
    ):
        table.add_row(name, str(value))
    table.add_section()
    for name, value in (
        ("lost", counts.lost),
        ("duplicated", counts.duplicated),
        ("out of order", counts.out_of_order),
        ("leaked to another customer", counts.leaked),
        ("cache rows unlike the database", len(result.cache_differences)),
        ("portals not live at the end", len(result.not_live)),
    ):
        table.add_row(name, str(value), style="bold red" if value else "green")
    table.add_section()
    table.add_row("request sent → callback, p50 / p95 / p99", _percentiles(result.latency))
    table.add_row(f"  {result.live.count} live", _percentiles(result.live))
    table.add_row(
        f"  {result.catch_up.count} caught up after the cut", _percentiles(result.catch_up)
    )
    console.print(table)


def write_problems(result: DemoResult, console: Console) -> None:
    """Write what a summary of counts cannot say: which rows and which portals."""
    for email, state in result.not_live:
        console.print(f"{email}: the portal is {state} at the end, not live.")
    for email, difference in result.cache_differences:
        columns = f" in {', '.join(difference.columns)}" if difference.columns else ""
        console.print(
            f"{email}: {difference.table} {difference.row_id} {difference.what}{columns}."
        )
    if result.counts.expected == 0:
        console.print(
            "No customer had to receive anything: that proves nothing. Replay more actions."
        )


def _percentiles(latency: LatencySummary) -> str:
    values = (latency.p50_ms, latency.p95_ms, latency.p99_ms)
    return " / ".join("–" if value is None else f"{value:.1f}" for value in values) + " ms"
