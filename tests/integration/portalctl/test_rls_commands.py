"""`portalctl rls`: drift is found, bundles give what the files say, the report tries."""

from __future__ import annotations

import asyncio
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from portalctl.database.bundle import next_version
from portalctl.database.check import check
from portalctl.database.drift import compare, file_of
from portalctl.database.security import Fact, read_security
from tests.integration.portalctl.database_cli import Run, runner
from tests.support.cluster import REPOSITORY, Database

PLANTED = {
    "policy": 'drop policy "staff add invoices" on public.invoices',
    "grant": "grant select on public.jobs to anon",
    "column": "grant update (deleted_at) on public.jobs to authenticated",
    "rls": "alter table public.jobs disable row level security",
    "trigger": "alter table public.jobs disable trigger feed_update",
    "default": "alter default privileges in schema public grant select on tables to anon",
    "function": "alter function private.is_staff() security invoker",
    "publication": "alter publication supabase_realtime drop table public.jobs",
    "schema": "grant usage on schema private to anon",
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("SUPABASE_DB_URL", raising=False)
    return runner(capsys)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the product's SQL that a test may change."""
    shutil.copytree(REPOSITORY / "supabase", tmp_path / "supabase")
    shutil.copytree(REPOSITORY / "rls_policies", tmp_path / "rls_policies")
    return tmp_path


async def test_every_kind_of_planted_drift_changes_the_facts(empty_database: Database) -> None:
    connection = await asyncpg.connect(empty_database.url)
    try:
        clean = await read_security(connection)
        assert set(PLANTED) == {fact.kind for fact in clean} | {"default"}
        for kind, fault in PLANTED.items():
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(fault)
            drifted = await read_security(connection)
            await transaction.rollback()
            found = compare(clean, drifted, "before", "after")
            assert {difference.fact.kind for difference in found} == {kind}, found
    finally:
        await connection.close()


def test_check_passes_on_a_fresh_database_and_names_drift(
    empty_database: Database, run: Run
) -> None:
    clean = run("rls", "check", "--db-url", empty_database.url)
    assert (clean.code, clean.out) == (0, ""), clean.out
    asyncio.run(execute(empty_database.url, PLANTED["grant"]))
    drifted = run("rls", "check", "--db-url", empty_database.url, "--json")
    assert drifted.code == 1
    assert drifted.json["differences"] == [
        {"kind": "grant", "subject": "public.jobs", "text": "SELECT to anon",
         "only_in": "database", "missing_in": "migrations"}
    ]  # fmt: skip


async def execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


def test_bundle_writes_what_changed_and_then_nothing_more(project: Path, run: Run) -> None:
    option = ("--project", str(project))
    assert run("rls", "bundle", "nothing", *option, "--json").json == {"file": None}
    file = project / "rls_policies" / "job_notes.sql"
    text = file.read_text()
    name = text.split('create policy "')[1].split('"')[0]
    file.write_text(text.replace(name, f"{name} now"))
    assert run("rls", "check", "--files-only", *option).code == 1
    answer = run("rls", "bundle", "rename_policy", *option, "--json")
    assert answer.code == 0, answer.err
    written = Path(answer.json["file"])
    assert written.name.endswith("_rename_policy.sql")
    assert f'drop policy if exists "{name}" on public.job_notes;' in written.read_text()
    assert asyncio.run(check(project, None)) == []


def test_a_broken_policy_file_is_named_and_nothing_is_written(project: Path, run: Run) -> None:
    file = project / "rls_policies" / "jobs.sql"
    file.write_text(file.read_text() + "\nselect nonsense;\n")
    answer = run("rls", "bundle", "broken", "--project", str(project))
    assert (answer.code, "rls_policies/jobs.sql failed [42703]" in answer.err) == (1, True)
    assert list((project / "supabase" / "migrations").glob("*_broken.sql")) == []


def test_the_report_tells_apart_who_may_what(database: Database, run: Run) -> None:
    before = asyncio.run(count_rows(database.url))
    answer = run("rls", "report", "--db-url", database.url, "--json")
    assert answer.code == 0, answer.err
    found = {(f["table"], f["verb"], f["caller"]): f["outcome"] for f in answer.json["findings"]}
    assert {found["jobs", verb, "anon"] for verb in ("select", "insert", "update", "delete")} == {
        "no grant"
    }
    assert found["jobs", "select", "admin"] == "yes"
    assert found["jobs", "select", "unlinked"] == "no rows"
    assert "rows" in found["jobs", "select", "customer"]
    assert "/" in found["sync_changes", "select", "customer"]
    assert found["jobs", "select", "inactive"] == "no rows"
    assert found["lead_notes", "select", "customer"] == "no rows"
    assert found["messages", "insert", "customer"] == "yes"
    assert found["messages", "insert", "unlinked"] == "policy"
    assert {found[table, "delete", "service_role"] for table in ("jobs", "staff")} == {"no grant"}
    assert asyncio.run(count_rows(database.url)) == before


async def count_rows(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    try:
        return [
            await connection.fetchval(f"select count(*) from public.{table}")
            for table in ("jobs", "messages", "activity_log", "sync_changes")
        ]
    finally:
        await connection.close()


def test_the_report_shows_an_opened_table(database: Database, run: Run) -> None:
    asyncio.run(execute(database.url, "alter table public.lead_notes disable row level security"))
    answer = run("rls", "report", "--db-url", database.url, "--format", "json")
    outcomes = {
        found["outcome"]
        for found in json.loads(answer.out)["findings"]
        if (found["table"], found["verb"], found["caller"]) == ("lead_notes", "select", "customer")
    }
    assert outcomes == {"yes"}


def test_the_report_has_two_forms_for_people(database: Database, run: Run) -> None:
    markdown = run("rls", "report", "--db-url", database.url, "--format", "markdown").out
    assert markdown.startswith("| table | verb | anon | unlinked | customer |")
    table = run("rls", "report", "--db-url", database.url).out
    assert "Who can do what" in table
    assert "…" not in table, "at 80 columns, words are folded and not cut off"
    assert max(map(len, table.splitlines())) <= 80


def test_a_bundle_is_newer_than_every_file() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert next_version("20251231235959", now) == "20260102030405"
    assert next_version("20261103000900", now) == "20261103000901"


def test_facts_lead_to_their_file() -> None:
    assert file_of("public.jobs") == "jobs.sql"
    assert file_of("realtime.messages") == "realtime_messages.sql"
    fact = Fact("grant", "public.jobs", "SELECT to anon")
    assert str(compare([fact], [], "a", "b")[0]).endswith("[only in a, not in b]")


@pytest.mark.parametrize("name", ["", "Drop Table", "../x", "1st"])
def test_a_bad_name_for_a_bundle_is_refused(name: str, run: Run) -> None:
    assert run("rls", "bundle", name).code == 2
