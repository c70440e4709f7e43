"""Every check in the order in which one depends on the other."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from portalctl.database.push import compare
from portalctl.database.target import connected
from portalctl.doctor.database import check_catalogue, judge_migrations
from portalctl.doctor.endpoint import check_endpoints, judge_key
from portalctl.doctor.finding import Finding, Verdict, skipped
from portalctl.doctor.trip import check_round_trip

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from portalctl.database.target import Connection, Target


@dataclass(frozen=True, slots=True)
class Patient:
    """The project to examine; what is None is skipped and said so.

    Attributes:
        target: Its database.
        migrations: Folder with the migrations that it should have.
        url: Its address.
        key: Its publishable key.
        login: E-mail and password of a portal user.
    """

    target: Target | None
    migrations: Path
    url: str | None
    key: str | None = field(repr=False)
    login: tuple[str, str] | None = field(repr=False)


async def examine(patient: Patient, report: Callable[[Finding], None]) -> list[Finding]:
    """Run every check; hand out each finding as soon as there is one.

    Raises:
        OSError: The database cannot be reached.
        asyncpg.PostgresError: It refuses.
    """
    findings: list[Finding] = []

    def tell(*found: Finding) -> None:
        for finding in found:
            findings.append(finding)
            report(finding)

    async with AsyncExitStack() as stack:
        connection: Connection | None = None
        if patient.target is None:
            tell(skipped("database", "None is named.", "Name one with --db-url."))
        else:
            connection = await stack.enter_async_context(connected(patient.target))
            tell(judge_migrations(await compare(patient.target, patient.migrations)))
            tell(*await check_catalogue(connection))
        await _examine_address(patient, connection, tell)
    return findings


async def _examine_address(
    patient: Patient, connection: Connection | None, tell: Callable[..., None]
) -> None:
    if patient.url is None or patient.key is None:
        text = "SUPABASE_URL or SUPABASE_PUBLISHABLE_KEY is not set."
        tell(skipped("address", text, 'Set both, as `eval "$(portalctl env)"` does.'))
        return
    key = judge_key(patient.key)
    tell(key)
    if key.verdict is Verdict.PROBLEM:
        return
    endpoints = await check_endpoints(patient.url, patient.key)
    tell(*endpoints)
    if any(f.verdict is Verdict.PROBLEM and f.subject in {"address", "Auth"} for f in endpoints):
        return
    if patient.login is None:
        advice = "Name a portal user with --email and put the password in PORTAL_PASSWORD."
        tell(skipped("round trip", "No login.", advice))
        return
    tell(*await check_round_trip(patient.url, patient.key, patient.login, connection))
