"""Receive a CSV file and look through all of it, before a line of it is written."""

import asyncio
import csv
import hashlib
import io
import tempfile
from collections.abc import Iterable
from typing import BinaryIO, NamedTuple, cast

from fastapi import Request

from crm_service.errors import InvalidRequestError, UnsupportedMediaTypeError
from crm_service.imports.rows import other_separator

_IN_MEMORY_BYTES = 1_048_576
_FIRST_LINE_CHARACTERS = 10_000
MAX_LINES = 50_000
_OTHER_TYPES = ("multipart/", "application/json")


class ReceivedFile(NamedTuple):
    """A file that is CSV in UTF-8.

    Attributes:
        text: At its beginning; gone when it is closed.
        digest: SHA-256 of its bytes.
    """

    text: io.TextIOWrapper
    digest: str


async def receive_file(request: Request) -> ReceivedFile:
    """Return the body as a file; large ones are kept on disk.

    Raises:
        UnsupportedMediaTypeError: The body is a form, JSON or compressed.
        InvalidRequestError: It is no CSV in UTF-8, or has too many lines.
    """
    refuse_other_types(request)
    raw = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES)  # noqa: SIM115 - closed by its reader
    file = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
    digest = hashlib.sha256()
    try:
        async for chunk in request.stream():
            digest.update(chunk)
            raw.write(chunk)
        raw.seek(0)
        # In a thread: other requests do not wait for 50,000 lines.
        await asyncio.to_thread(check_file, file)
    except BaseException:
        file.close()
        raise
    return ReceivedFile(file, digest.hexdigest())


def refuse_other_types(request: Request) -> None:
    """Return if the body may be a file; its type is often not named, or wrongly.

    Raises:
        UnsupportedMediaTypeError: It is a form, JSON or compressed.
    """
    media_type = request.headers.get("content-type", "").strip().lower()
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if media_type.startswith(_OTHER_TYPES) or coding != "identity":
        raise UnsupportedMediaTypeError(
            "Send the file itself as the body, uncompressed: Content-Type: text/csv."
        )


def check_file(file: io.TextIOWrapper) -> None:
    """Read a whole file and go back to its beginning.

    Raises:
        InvalidRequestError: It is no CSV in UTF-8, or has too many lines.
    """
    reader = csv.reader(file, strict=True)
    lines = -1
    try:
        for cells in reader:
            lines += any(cell.strip() for cell in cells)
            if lines > MAX_LINES:
                raise _refusal(f"has more than {MAX_LINES} lines; split it")
    except UnicodeDecodeError as error:
        raw = cast("BinaryIO", file.buffer)
        raw.seek(0)
        number = _first_line_not_in_utf8(raw)
        raise _refusal(f"is not in UTF-8 at line {number}; save it as CSV UTF-8") from error
    except csv.Error as error:
        number = reader.line_num
        file.seek(0)
        other = other_separator(file.readline(_FIRST_LINE_CHARACTERS))
        raise _refusal(other or f"is not CSV at line {number}: {error}") from error
    file.seek(0)


def _first_line_not_in_utf8(lines: Iterable[bytes]) -> int:
    """Return the number of the line, as a text editor counts them."""
    for number, line in enumerate(lines, start=1):
        try:
            line.decode()
        except UnicodeDecodeError:
            return number
    return 1


def _refusal(reason: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"The file {reason}. Nothing was written.", [{"field": "body", "message": reason}]
    )


__all__ = ["MAX_LINES", "ReceivedFile", "check_file", "receive_file", "refuse_other_types"]
