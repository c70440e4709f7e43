"""`portalctl doctor`: a healthy project has no problem, and each planted fault is named."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest
from websockets.asyncio.server import ServerConnection, serve

from local_stack import control
from portalctl.commands import doctor
from portalctl.commands.address import find_address
from portalctl.database.target import Target
from portalctl.doctor import endpoint, trip
from portalctl.doctor.database import check_catalogue
from portalctl.doctor.endpoint import judge_key
from portalctl.doctor.finding import Verdict
from tests.integration.portalctl.database_cli import Run, runner
from tests.support.personas import CUSTOMER_A, MANAGER, PASSWORD

if TYPE_CHECKING:
    from tests.support.cluster import Database
    from tests.support.stack_thread import StackThread

PLANTED = {
    "row level security": "alter table public.jobs disable row level security",
    "anonymous access": "grant select on public.jobs to anon",
    "change feed": "alter table public.messages disable trigger feed_insert",
    "publication": "alter publication supabase_realtime drop table public.sync_changes",
    "retention": "update public.sync_changes set committed_at = now() - interval '31 days'",
}
DROP_POLICIES = """do $$ declare policy name; begin
    for policy in select policyname from pg_policies where tablename = 'calls' loop
        execute format('drop policy %I on public.calls', policy);
    end loop; end $$"""
SECOND_FAULTS = {
    "row level security": DROP_POLICIES,
    "change feed": (
        "drop trigger feed_insert on public.jobs; create trigger feed_insert after insert "
        "on public.jobs for each row execute function private.flush_row()"
    ),
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in ("SUPABASE_URL", "SUPABASE_DB_URL", "SUPABASE_PUBLISHABLE_KEY", "PORTAL_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    return runner(capsys)


@pytest.fixture
def project(stack: StackThread, run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The doctor, with the shared stack named by the environment."""
    monkeypatch.setenv("SUPABASE_URL", stack.api_url)
    monkeypatch.setenv("SUPABASE_DB_URL", stack.database_url)
    monkeypatch.setenv("SUPABASE_PUBLISHABLE_KEY", stack.keys.publishable)
    monkeypatch.setenv("PORTAL_PASSWORD", PASSWORD)
    return run


def verdicts(answer: object) -> dict[str, str]:
    return {finding["subject"]: finding["verdict"] for finding in answer.json["findings"]}


def test_a_running_stack_is_healthy_and_its_round_trip_is_measured(project: Run) -> None:
    answer = project("doctor", "--email", str(CUSTOMER_A.email), "--json")
    assert answer.code == 0, answer.out
    assert set(verdicts(answer).values()) == {"ok"}, answer.out
    measured = {f["subject"]: f["latency_ms"] for f in answer.json["findings"] if f["latency_ms"]}
    assert set(measured) == {"feed", "doorbell"}


def test_people_read_a_line_per_finding_with_what_to_do(project: Run) -> None:
    answer = project("doctor")
    assert answer.code == 0
    assert "skipped  round trip" in answer.out
    assert "PORTAL_PASSWORD" in answer.out
    assert "No problem found." in answer.err


def test_a_member_of_staff_is_no_portal_user(project: Run) -> None:
    answer = project("doctor", "--email", str(MANAGER.email), "--json")
    assert (answer.code, verdicts(answer)["round trip"]) == (0, "skipped")


def test_what_is_wrong_with_the_address_is_named(
    project: Run, stack: StackThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def subjects(**environment: str) -> dict[str, str]:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        answer = project("doctor", "--json")
        assert answer.code == 1
        return {name: word for name, word in verdicts(answer).items() if word == "problem"}

    monkeypatch.delenv("SUPABASE_DB_URL")
    assert subjects(SUPABASE_PUBLISHABLE_KEY=stack.keys.secret) == {"API key": "problem"}
    assert "Auth" in subjects(SUPABASE_PUBLISHABLE_KEY="sb_publishable_of_another_project")
    assert subjects(SUPABASE_URL="http://127.0.0.1:9") == {"address": "problem"}
    for address in ("example.supabase.co", "http://", "http://[", "https://example.com:port"):
        refused = project("doctor", "--url", address)
        assert (refused.code, "https://<ref>.supabase.co" in refused.err) == (2, True)
    password = project("doctor", "--url", "http://me:secret@127.0.0.1:9", "--json")
    assert "No answer from 127.0.0.1:9" in password.out
    assert "secret" not in password.out


def test_an_address_alone_is_enough(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_abc")
    monkeypatch.chdir("/")  # no stack runs here
    answer = run("doctor", "--url", "http://127.0.0.1:9", "--json")
    assert verdicts(answer) == {"database": "skipped", "API key": "ok", "address": "problem"}


def test_the_stack_that_runs_here_is_not_mixed_with_another_project(
    project: Run, stack: StackThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SUPABASE_DB_URL")
    here = Target(stack.database_url, "the stack here")
    monkeypatch.setattr(doctor, "choose", lambda *_: here)
    answer = project("doctor", "--url", "http://127.0.0.2:9", "--json")
    assert (answer.json["database"], answer.json["address"]) == (None, "127.0.0.2:9")

    environment = {"SUPABASE_URL": stack.api_url, "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_abc"}
    monkeypatch.setattr(control, "running_environment", lambda _: environment)
    monkeypatch.delenv("SUPABASE_URL")
    assert find_address(None, None)[0] == stack.api_url
    assert find_address(None, None, or_stack=False) == (None, None)


async def test_a_realtime_that_never_answers_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say_nothing(socket: ServerConnection) -> None:
        await socket.wait_closed()

    monkeypatch.setattr(endpoint, "TIMEOUT_S", 0.2)
    async with asyncio.timeout(10), serve(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        finding = await endpoint.check_public_channels(f"http://127.0.0.1:{port}", "key")
    assert (finding.subject, finding.verdict) == ("public channels", Verdict.PROBLEM)
    assert "TimeoutError" in finding.text


async def test_a_rest_that_never_answers_is_a_finding(
    stack: StackThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trip, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(stack.faults, "http_paths", ("/rest/",))
    monkeypatch.setattr(stack.faults, "http_hang", True)
    login = (str(CUSTOMER_A.email), PASSWORD)
    found = await trip.check_round_trip(stack.api_url, stack.keys.publishable, login, None)
    assert [(finding.subject, finding.verdict) for finding in found] == [("REST", "problem")]


def test_a_wrong_password_is_named(project: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_PASSWORD", "wrong")
    answer = project("doctor", "--email", str(CUSTOMER_A.email), "--json")
    assert (answer.code, verdicts(answer)["sign-in"]) == (1, "problem")
    monkeypatch.delenv("PORTAL_PASSWORD")
    assert project("doctor", "--email", "somebody@example.com").code == 2


async def test_every_planted_fault_is_named_and_no_other(database: Database) -> None:
    connection = await asyncpg.connect(database.admin_url)
    try:
        send = await connection.fetchval(
            "select policyname from pg_policies where schemaname = 'realtime' and cmd = 'INSERT'"
        )
        planted = {**PLANTED, "private channels": f'drop policy "{send}" on realtime.messages'}
        await connection.execute("select private.new_sync_epoch()")
        await connection.execute("update public.jobs set title = 'a change for the feed'")
        assert await complaints(connection) == set()
        for subject, fault in [*planted.items(), *SECOND_FAULTS.items()]:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(fault)
            found = await complaints(connection)
            await transaction.rollback()
            assert found == {subject}, fault
    finally:
        await connection.close()


async def complaints(connection: asyncpg.Connection[asyncpg.Record]) -> set[str]:
    found = await check_catalogue(connection)
    assert all(finding.advice for finding in found if finding.verdict != Verdict.OK)
    return {finding.subject for finding in found if finding.verdict != Verdict.OK}


@pytest.mark.parametrize(
    ("key", "verdict"),
    [
        ("sb_publishable_abc", Verdict.OK),
        ("sb_secret_abc", Verdict.PROBLEM),
        ("eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl", Verdict.OK),
        ("eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2ln", Verdict.PROBLEM),
        ("a.b.c", Verdict.PROBLEM),
        ("", Verdict.PROBLEM),
    ],
)
def test_a_key_is_judged_by_its_form(key: str, verdict: Verdict) -> None:
    assert judge_key(key).verdict is verdict
