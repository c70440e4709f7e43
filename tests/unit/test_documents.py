"""The pages: every link leads somewhere, and every command line that they show exists."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import typer

from portalctl.app import create_app

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
# Up to the end of the code, or to a comment behind it.
COMMAND_LINE = re.compile(r"(?<![\w/\[])(?:\.venv/bin/)?portalctl ([a-z][^`#\n|…&;)]*)")


@cache
def pages() -> tuple[Path, ...]:
    listed = subprocess.run(
        ["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    found = [ROOT / name for name in listed] or list(ROOT.glob("[!.]*/**/*.md"))
    return tuple(path for path in found if "node_modules" not in path.parts)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return what a link may have behind its `#`, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings)


def test_every_link_between_the_pages_leads_somewhere() -> None:
    broken = []
    for page in pages():
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            if link.startswith(("https://", "http://", "mailto:")):
                continue
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert len(pages()) > 20
    assert broken == []


def command_lines() -> Iterator[tuple[str, list[str]]]:
    for page in pages():
        lines = page.read_text(encoding="utf-8").splitlines()
        code = "\n".join(line for line in lines if not line.startswith("#"))
        for found in COMMAND_LINE.findall(code):
            yield f"{page.relative_to(ROOT)}: portalctl {found}", found.split()


def fault_of(words: list[str]) -> str | None:
    """Return what a command line names that there is not."""
    command: Any = typer.main.get_command(create_app())
    while words and hasattr(command, "commands"):
        name, *words = words
        alternatives = name.split("|")
        missing = [each for each in alternatives if each not in command.commands]
        if missing:
            return f"command {missing[0]!r}"
        command = command.commands[alternatives[0]]
    options = {option for parameter in command.params for option in parameter.opts}
    options |= {option for parameter in command.params for option in parameter.secondary_opts}
    for word in words if command.name != "psql" else ():
        option = word.strip("[]().,:").partition("=")[0]
        if option.startswith("--") and option not in options:
            return f"option {option}"
    return None


def test_every_command_line_on_the_pages_exists() -> None:
    lines = list(command_lines())
    assert len(lines) > 40
    assert [(where, fault) for where, words in lines if (fault := fault_of(words))] == []


def test_a_command_line_that_does_not_exist_is_noticed() -> None:
    assert fault_of(["dance"]) == "command 'dance'"
    assert fault_of(["db", "dance"]) == "command 'dance'"
    assert fault_of(["up", "--ephemeral", "--loud"]) == "option --loud"
    assert fault_of(["up", "--no-seed"]) is None
