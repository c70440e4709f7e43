"""Print the report: a table for people, Markdown for a document. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from portalctl.database.report import Finding

LEGEND = (
    "yes: every tried row · n/m rows: that many of those tried · no rows: the policies show none · "
    "no grant, policy, guard: refused with 42501 by that · rule X: refused by a constraint or "
    "trigger with SQLSTATE X, which may run before the policy · empty: granted, no row to try on"
)


def pivot(findings: list[Finding]) -> tuple[list[str], list[list[str]]]:
    """Return the heading and one line per table and verb, with a column per caller."""
    callers = list(dict.fromkeys(finding.caller for finding in findings))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for finding in findings:
        lines.setdefault((finding.table, finding.verb), {})[finding.caller] = finding.outcome
    return (
        ["table", "verb", *callers],
        [[*line, *(cells[caller] for caller in callers)] for line, cells in lines.items()],
    )


def as_markdown(findings: list[Finding]) -> str:
    """Return a Markdown table with its legend."""
    heading, lines = pivot(findings)
    rows = [heading, ["---"] * len(heading), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n\n{LEGEND}\n"


def as_table(findings: list[Finding]) -> Table:
    """Return a table for a terminal of 80 columns or more: words may be folded, never cut off."""
    heading, lines = pivot(findings)
    table = Table(
        caption=LEGEND, title="Who can do what, found by trying",
        box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False,
    )  # fmt: skip
    for name in heading:
        table.add_column(name, overflow="fold", no_wrap=name == "verb")
    for number, line in enumerate(lines):
        last = number + 1 == len(lines) or lines[number + 1][0] != line[0]
        first = number == 0 or lines[number - 1][0] != line[0]
        table.add_row(line[0] if first else "", *line[1:], end_section=last)
    return table
