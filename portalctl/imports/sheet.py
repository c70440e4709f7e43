"""The file that is imported: read from disk, or fetched from where it is published."""

from __future__ import annotations

import asyncio
from pathlib import Path

from portalctl.exits import CommandError, EnvironmentUnusableError, UsageError

_FETCH_TIMEOUT_S = 60.0
_MAX_BYTES = 33_554_432


async def read_sheet(source: str) -> bytes:
    """Return the content of a file, or of what an http(s) address answers.

    Raises:
        UsageError: The file cannot be read.
        EnvironmentUnusableError: The address cannot be fetched.
        CommandError: It answers with more than an import takes.
    """
    if is_address(source):
        return await _fetch(source)
    try:
        return await asyncio.to_thread(Path(source).read_bytes)
    except OSError as error:
        raise UsageError(f"{source} cannot be read: {error.strerror}.") from error


def is_address(source: str) -> bool:
    """Tell whether a source is an address, and not a file."""
    return source.startswith(("http://", "https://"))


async def _fetch(address: str) -> bytes:
    import httpx  # noqa: PLC0415 - see commands/__init__

    content = bytearray()
    try:
        async with (
            httpx.AsyncClient(follow_redirects=True, timeout=_FETCH_TIMEOUT_S) as http,
            http.stream("GET", address) as response,
        ):
            response.raise_for_status()
            async for piece in response.aiter_bytes():
                content += piece
                if len(content) > _MAX_BYTES:
                    raise CommandError("The file is larger than 32 MiB.", "Split it.")
    except httpx.HTTPStatusError as error:
        raise _unfetched(f"it answers {error.response.status_code}") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unfetched(type(error).__name__) from error
    return bytes(content)


def _unfetched(reason: str) -> EnvironmentUnusableError:
    return EnvironmentUnusableError(
        f"The address cannot be fetched ({reason}).", "Is the spreadsheet published as CSV?"
    )


__all__ = ["is_address", "read_sheet"]
