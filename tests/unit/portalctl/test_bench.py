"""`portalctl bench`: one list of targets, judged by what the benchmarks write."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from portalctl import app
from portalctl.bench import runner
from portalctl.bench.targets import Figure, parse_targets
from portalctl.exits import EnvironmentUnusableError
from tests.support.waiting import eventually

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
TARGETS = parse_targets((BENCHMARKS / "targets.toml").read_text(encoding="utf-8"))

FEW_TARGETS = """
[[target]]
benchmark = "quick"
text = "quick: p99 ≤ 5 ms"
figures = [{ path = ["ms", "*"], at_most = 5, unit = "ms" }]

[[target]]
benchmark = "quick"
text = "quick: 10 rows/s"
figures = [{ path = ["rows_per_s"], at_least = 10, unit = "rows/s" }]

[[target]]
benchmark = "broken"
text = "broken: nothing"
figures = [{ path = ["ms"], at_most = 1, unit = "ms" }]
"""
WRITES = """
import json, pathlib, sys
print("measuring")
pathlib.Path(sys.argv[sys.argv.index("--out") + 1]).write_text(json.dumps(%s))
sys.exit(1)  # as some do when a target is missed
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two benchmarks of a moment, and the folder for their results."""
    for name in ("quick", "broken"):
        (tmp_path / "benchmarks" / name).mkdir(parents=True)
        (tmp_path / "benchmarks" / name / "__main__.py").write_text("raise SystemExit('no luck')")
    (tmp_path / "benchmarks" / "targets.toml").write_text(FEW_TARGETS, encoding="utf-8")
    monkeypatch.setattr(runner, "find_repository", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_benchmark(clone: Path, result: object) -> None:
    (clone / "benchmarks" / "quick" / "__main__.py").write_text(WRITES % repr(result))


def test_the_page_has_these_targets_and_their_limits() -> None:
    page = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    table = page.partition("| target | seen | met |\n|---|---|---|\n")[2].partition("\n\n")[0]
    assert [line.split(" | ")[0].lstrip("| ") for line in table.splitlines()] == [
        target.text for target in TARGETS
    ]
    for target in TARGETS:
        for figure in target.figures:
            assert f"{figure.limit:,g}" in target.text, target


def test_every_figure_is_in_the_committed_result() -> None:
    """A benchmark that names a figure anew has to be followed by the list."""
    for target in TARGETS:
        files = (BENCHMARKS / "results" / f"{target.benchmark}.json",
                 BENCHMARKS / target.benchmark / "results.json")  # fmt: skip
        result = json.loads(next(file for file in files if file.exists()).read_text())
        for figure in target.figures:
            assert figure.seen(result) is not None, figure


@pytest.mark.parametrize(
    ("figure", "seen", "is_met"),
    [
        (Figure(("ms", "*"), 3, False, "ms"), 3, True),
        (Figure(("ms", "*"), 2.9, False, "ms"), 3, False),
        (Figure(("ms", "*"), 1, True, "ms"), 1, True),
        (Figure(("ms", "*"), 1.1, True, "ms"), 1, False),
        (Figure(("ms", "b*"), 60, False, "KB", 1.024), 3.072, True),
    ],
)
def test_the_worst_of_several_numbers_counts(figure: Figure, seen: float, is_met: bool) -> None:
    found = figure.seen({"ms": {"a": 1, "bc": 3, "is_slow": True, "note": "text"}})
    assert found == pytest.approx(seen)
    assert figure.is_met_by(found) is is_met
    assert figure.seen({"ms": 4}) is None


def test_what_was_seen_is_shown_next_to_the_targets(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_benchmark(clone, {"ms": {"read": 2, "write": 7.25}, "rows_per_s": 12345})
    assert app.run(["bench", "--only", "quick"]) == 0
    shown = capsys.readouterr().out
    assert "7.25 ms" in shown
    assert "12,345 rows/s" in shown
    assert app.run(["bench", "--only", "quick", "--strict", "--out", "kept", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert [target["met"] for target in answer["targets"]] == [False, True]
    assert answer["targets"][0]["figures"][0]["seen"] == 7.25
    for folder in ("bench-results", "kept"):
        assert json.loads((clone / folder / "quick.json").read_text())["rows_per_s"] == 12345
        assert (clone / folder / "quick.log").read_text() == "measuring\n"


def test_a_benchmark_that_fails_is_told_and_the_others_run(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_benchmark(clone, {"ms": {"read": 1}, "rows_per_s": 10})
    (clone / "out").mkdir()
    (clone / "out" / "broken.json").write_text("an earlier result")
    assert app.run(["bench", "--json", "--out", "out"]) == 1
    output = capsys.readouterr()
    assert json.loads(output.out)["failed"] == ["broken"]
    assert [target["met"] for target in json.loads(output.out)["targets"]] == [True, True]
    assert f"See {clone}/out/broken.log" in output.err
    assert (clone / "out" / "broken.log").read_text() == "no luck\n"
    assert (clone / "out" / "broken.json").read_text() == "an earlier result"


def test_names_and_folders_that_cannot_be_are_refused(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["bench", "--only", "slow"]) == 2
    assert "Use quick, broken." in capsys.readouterr().err
    (clone / "file").touch()
    assert app.run(["bench", "--out", "file/below"]) == 3
    assert "Name another with --out." in capsys.readouterr().err


async def test_a_cancelled_benchmark_is_asked_to_stop(clone: Path) -> None:
    program = "import os, pathlib, time; pathlib.Path('pid').write_text(f'{os.getpid()} '); "
    program += "\ntry: time.sleep(60)\nexcept KeyboardInterrupt: pathlib.Path('stopped').touch()"
    (clone / "benchmarks" / "quick" / "__main__.py").write_text(program)
    task = asyncio.create_task(runner.run_benchmark(clone, "quick", clone))
    pid = clone / "pid"
    await eventually(lambda: pid.exists() and pid.read_text().endswith(" "))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (clone / "stopped").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_an_installed_package_has_no_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runner.find_repository() == BENCHMARKS.parent
    monkeypatch.setattr(runner, "__file__", str(tmp_path / "a" / "b" / "runner.py"))
    with pytest.raises(EnvironmentUnusableError, match="Clone the repository"):
        runner.find_repository()
