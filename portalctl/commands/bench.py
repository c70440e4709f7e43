"""`portalctl bench`: run the benchmarks and hold what they show against the targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portalctl import console
from portalctl.exits import CommandError, EnvironmentUnusableError, ExitCode, UsageError
from portalctl.stopping import run_until_stopped

if TYPE_CHECKING:
    from rich.table import Table

    from portalctl.bench.targets import Figure, Target

_DEFAULT_OUT = Path("bench-results")


def register(app: typer.Typer) -> None:
    """Mount the command."""
    app.command("bench")(bench)


def bench(
    *,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Run this benchmark alone; may be repeated.", show_default="all"),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder for the results and the logs.", metavar="DIR")
    ] = _DEFAULT_OUT,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 1 when a target is missed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on one line.")] = False,
) -> int:
    """Run the benchmarks of a clone, one after the other, and show targets and what was seen.

    Takes many minutes, and wants a machine that does nothing else. The results that the repository
    holds are left alone, unless --out names their folder. Exits with 1 when a benchmark fails.
    """
    from portalctl.bench.runner import find_repository  # noqa: PLC0415 - see commands/__init__
    from portalctl.bench.targets import parse_targets  # noqa: PLC0415 - the same

    root = find_repository()
    text = (root / "benchmarks" / "targets.toml").read_text(encoding="utf-8")
    targets = parse_targets(text)
    names = list(dict.fromkeys(target.benchmark for target in targets))
    unknown = [name for name in only or () if name not in names]
    if unknown:
        raise UsageError(f"There is no benchmark {unknown[0]!r}.", f"Use {', '.join(names)}.")
    chosen = [name for name in names if name in (only or names)]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentUnusableError(
            f"The folder {out} cannot be made: {error.strerror}.", "Name another with --out."
        ) from error
    folder = out.absolute()
    results, failures = run_until_stopped("bench", lambda: _run_all(root, chosen, folder))
    judged = [target for target in targets if target.benchmark in results and target.figures]
    report = [_judge(target, results[target.benchmark]) for target in judged]
    if as_json:
        console.write_json(
            {"out": str(out), "failed": [name for name, _ in failures], "targets": report}
        )
    else:
        console.stdout().print(_table(judged, results), soft_wrap=False)
        console.stderr().print(f"Results and logs: {out}", style="dim")
    for _, failure in failures:
        console.write_error("portalctl", failure)
    missed = strict and not all(entry["met"] for entry in report)
    return ExitCode.FAILURE if failures or missed else ExitCode.OK


async def _run_all(
    root: Path, names: list[str], out: Path
) -> tuple[dict[str, dict[str, Any]], list[tuple[str, CommandError]]]:
    """Run one after the other; a failed one does not keep the others from running."""
    from portalctl.bench.runner import run_benchmark  # noqa: PLC0415 - see commands/__init__

    results: dict[str, dict[str, Any]] = {}
    failures: list[tuple[str, CommandError]] = []
    with console.steps("benchmarks") as show:
        for number, name in enumerate(names, start=1):
            show(name, number, len(names))
            try:
                results[name] = await run_benchmark(root, name, out)
            except CommandError as error:
                failures.append((name, error))
    return results, failures


def _judge(target: Target, result: dict[str, Any]) -> dict[str, Any]:
    figures: list[dict[str, Any]] = []
    for figure in target.figures:
        seen = figure.seen(result)
        bound = "at_least" if figure.is_least else "at_most"
        figures.append(
            {
                "path": list(figure.path), bound: figure.limit, "unit": figure.unit,
                "seen": seen, "met": _is_met(figure, seen),
            }
        )  # fmt: skip
    return {
        "benchmark": target.benchmark, "target": target.text, "figures": figures,
        "met": all(figure["met"] for figure in figures),
    }  # fmt: skip


def _is_met(figure: Figure, seen: float | None) -> bool:
    return seen is not None and figure.is_met_by(seen)


def _table(targets: list[Target], results: dict[str, dict[str, Any]]) -> Table:
    from rich.table import Table  # noqa: PLC0415 - see commands/__init__
    from rich.text import Text  # noqa: PLC0415 - the same

    table = Table("target", "seen", "met", title="Benchmarks", title_justify="left")
    for target in targets:
        seen = [figure.seen(results[target.benchmark]) for figure in target.figures]
        pairs = list(zip(target.figures, seen, strict=True))
        met = [_is_met(figure, number) for figure, number in pairs]
        table.add_row(
            Text(target.text),
            Text(" · ".join(_shown(figure, number) for figure, number in pairs)),
            Text(" · ".join("yes" if one else "no" for one in met), "green" if all(met) else "red"),
        )
    return table


def _shown(figure: Figure, seen: float | None) -> str:
    if seen is None:
        return "not measured"
    number = f"{seen:,.0f}" if abs(seen) >= 1000 else f"{seen:.3g}"
    return f"{number} {figure.unit}"
