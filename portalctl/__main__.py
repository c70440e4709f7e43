"""The `portalctl` command.

Needs only the standard library until the command line's own packages are known to be there, so
that a missing extra is one clear sentence and not a traceback.
"""

from __future__ import annotations

import importlib.util
import sys

from portalctl.exits import ExitCode

_NEEDED = ("typer", "rich", "dotenv", "asyncpg", "fastapi", "uvicorn")


def main() -> None:
    """Run the command line and exit with one of `portalctl.exits.ExitCode`."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"portalctl: missing {', '.join(missing)}. The command line is an extra of the "
            "package: install it with  pip install 'portal-sync[cli]'\n"
        )
        raise SystemExit(ExitCode.ENVIRONMENT)
    from portalctl.app import run  # noqa: PLC0415 - only after the check above

    raise SystemExit(run())


if __name__ == "__main__":
    main()
