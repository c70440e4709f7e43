"""Folders of stacks and clusters that are made once and copied."""

from __future__ import annotations

import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CLUSTER_PASSWORD = "pass/word ü"


def copy_folder(source: Path, target: Path) -> Path:
    """Copy with owners and modes: as root, PostgreSQL's files belong to another account."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
    return target
