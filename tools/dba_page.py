"""Renew the table of migrations in docs/howto/dba.md from the headers of the files."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "howto" / "dba.md"
BEGIN, END = "<!-- migrations: begin -->", "<!-- migrations: end -->"
FIELDS = ("Purpose", "Tables", "Locks", "Undo")
HEADER = re.compile(r"^-- (Purpose|Tables|Locks|Undo): *(.*)$")


def read_header(text: str) -> dict[str, str]:
    """Return the four fields of a migration's header; a field may go over several lines. Pure."""
    found: dict[str, str] = {}
    current = ""
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        match = HEADER.match(line)
        if match:
            current = match[1]
            found[current] = match[2].strip()
        elif current:
            found[current] += " " + line.removeprefix("--").strip()
    return found


def table() -> str:
    """Return the Markdown table, one line per migration."""
    lines = ["| migration | what it does | locks | roll back |", "|---|---|---|---|"]
    for file in sorted((ROOT / "supabase" / "migrations").glob("*.sql")):
        header = read_header(file.read_text(encoding="utf-8"))
        cells = [header.get(name, "").replace("|", "\\|") for name in FIELDS if name != "Tables"]
        lines.append(f"| `{file.stem}` | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
    print(PAGE.relative_to(ROOT))
