"""Collect what is wrong about refusals: each must be a documented problem without an effect."""

from __future__ import annotations

import logging
import re
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.operations import MARK, Operation

_SQL = re.compile(r"\b(select|insert into|update \w+ set|PGRST\d|SQLSTATE|Traceback)\b")


class Refusals:
    """Sends requests that must be refused.

    Args:
        http: The service.
        log: Of the service, too.

    Attributes:
        wrong: What was wrong about answers, by request.
    """

    def __init__(self, http: httpx.AsyncClient, log: pytest.LogCaptureFixture) -> None:
        self._http = http
        self._log = log
        self._signatures: set[str] = set()
        self.wrong: dict[str, str] = {}

    async def __call__(
        self, operation: Operation, token: str | None, codes: set[str], **request: Any
    ) -> httpx.Response:
        """Send a request; it must be refused with one of these codes."""
        path = request.pop("path", None) or operation.path()
        request["params"] = {**operation.needed, **request.get("params", {})}
        headers = {**({"Authorization": f"Bearer {token}"} if token else {})}
        headers |= request.pop("headers", {})
        client = request.pop("client", self._http)
        if token and (signature := token.rpartition(".")[2]):
            self._signatures.add(signature)
        response = await client.request(operation.method, path, headers=headers, **request)
        reason = self._judge(operation, response, codes)
        if reason is not None:
            self.wrong[f"{operation} {path} {str(request)[:80]}"] = reason
        return response

    def _judge(self, operation: Operation, response: httpx.Response, codes: set[str]) -> str | None:
        code = response.headers.get("x-problem", "")
        if code not in codes:
            return f"{response.status_code} {code or response.text[:80]}, not {codes}"
        if response.status_code not in operation.statuses:
            return f"{response.status_code} is not documented"
        if response.headers["content-type"] != "application/problem+json":
            return "is no problem"
        problem = response.json()
        members = (problem["type"], problem["status"], problem["request_id"])
        told = (f"urn:portal-sync:problem:{code}", response.status_code)
        if members != (*told, response.headers["x-request-id"]) or not problem["detail"]:
            return f"contradicts itself: {response.text[:200]}"
        if self._leaks(response.text):
            return f"leaks: {response.text[:200]}"
        return None

    def _leaks(self, text: str) -> bool:
        told = (signature in text for signature in self._signatures)
        return MARK in text or _SQL.search(text) is not None or any(told)

    def check_log(self) -> None:
        """Note what the service's own log tells of requests and answers."""
        for record in self._log.get_records("call"):
            if record.name.startswith("crm_service") and self._leaks(repr(vars(record))):
                self.wrong[f"log of {record.name}"] = repr(vars(record))[:400]


def listen(log: pytest.LogCaptureFixture) -> None:
    """Keep what the service says, however little it matters."""
    log.set_level(logging.DEBUG, "crm_service")


async def fingerprint(
    connection: asyncpg.Connection[asyncpg.Record],
) -> dict[str, tuple[int, str | None]]:
    """Return how many rows each table has, and a digest of them all."""
    tables = await connection.fetch(
        "select format('%I.%I', table_schema, table_name) as name from information_schema.tables"
        " where table_type = 'BASE TABLE' and table_schema in ('public', 'private')"
    )
    found = {}
    for (name,) in tables:
        row = await connection.fetchrow(
            f"select count(*), md5(string_agg(t::text, '' order by t::text)) from {name} as t"
        )
        assert row is not None
        found[name] = (row[0], row[1])
    return found
