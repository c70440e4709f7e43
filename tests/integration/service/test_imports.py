"""CSV in and out."""

import asyncio
import csv
import io
import json
from datetime import datetime
from uuid import UUID, uuid4

import pytest

from crm_service.customers.schemas import CustomerCreate
from crm_service.jobs.schemas import JobCreate
from crm_service.leads.schemas import LeadCreate
from tests.support.crm import (
    CUSTOMER_ROW,
    ScriptedSupabase,
    assert_problem,
    refusal,
    rows,
    scripted_app,
    sign_hs256,
)
from tests.support.personas import AGENT, INACTIVE, MANAGER


@pytest.fixture
def send(http, sign_in):
    async def send(kind, text, accept="application/json", key=None, persona=AGENT, **query):
        headers = {
            "Authorization": f"Bearer {sign_in(persona)}",
            "Content-Type": "text/csv",
            "Accept": accept,
        }
        if key:
            headers["Idempotency-Key"] = key
        content = text if isinstance(text, bytes) else text.encode()
        return await http.post(
            f"/v1/imports/{kind}", content=content, params=query, headers=headers
        )

    return send


def counts(response):
    assert response.status_code == 200, response.text
    report = response.json()
    names = ("read", "created", "updated", "unchanged", "failed")
    return {name: report[name] for name in names if report[name]}


async def test_an_import_repeated_writes_only_what_differs(send, rest):
    """Created, then unchanged, then one line updated and one added."""
    source = uuid4().hex
    text = "No;ignored".replace(";", ",") + ",name,email\n"
    lines = [f"{n},x,{source} {n},{n}@example.com\n" for n in range(1200)]
    ask = {"key_column": "No", "source": source}
    assert counts(await send("customers", text + "".join(lines), **ask)) == {
        "read": 1200,
        "created": 1200,
    }
    assert counts(await send("customers", text + "".join(lines), **ask)) == {
        "read": 1200,
        "unchanged": 1200,
    }
    lines[7] = f"7,x,{source} seven,7@example.com\n"
    lines.append(f"1200,x,{source} new,\n")
    assert counts(await send("customers", text + "".join(lines), **ask)) == {
        "read": 1201,
        "created": 1,
        "updated": 1,
        "unchanged": 1199,
    }
    found = await rest.get("/customers", params={"name": f"eq.{source} seven"})
    assert [row["version"] for row in found.json()] == [2]


async def test_a_dry_run_writes_nothing_and_names_the_wrong_lines(send, rest):
    """Headers may have other names; each wrong line is told with its place and reason."""
    mark = uuid4().hex
    text = f"Full name,E-Mail\n{mark},a@example.com\n,b@example.com\n{mark},nonsense\n{mark}\n"
    ask = {"map": ["Full name=name", "E-Mail=email"], "key": "once", "dry_run": "true"}
    document = (await send("customers", text, **ask)).json()
    assert (document["read"], document["failed"], document["created"]) == (4, 3, 1)
    assert [problem["line"] for problem in document["problems"]] == [3, 4, 5]
    assert "email" in document["problems"][1]["detail"]
    assert (await rest.get("/customers", params={"name": f"eq.{mark}"})).json() == []
    report = await send("customers", text, accept="text/csv", **ask)
    assert report.headers["content-type"].startswith("text/csv")
    assert [row["line"] for row in csv.DictReader(io.StringIO(report.text))] == ["3", "4", "5"]


async def test_leads_are_customers_with_a_lead(send, rest):
    """Both are written, and found again by their key."""
    source = uuid4().hex
    text = "id_no,name,score,status,estimated_value_cents\n1,Ada,60,contacted,100\n2,Bob,x,new,\n"
    ask = {"key_column": "id_no", "source": source}
    document = (await send("leads", text, **ask)).json()
    assert (document["created"], document["failed"]) == (1, 1)
    assert "score" in document["problems"][0]["detail"]
    moved = text.replace("60,contacted", "70,qualified")
    assert (await send("leads", moved, **ask)).json()["updated"] == 1
    found = await rest.get("/leads", params={"score": "eq.70", "status": "eq.qualified"})
    assert AGENT.uid in {row["assigned_to"] for row in found.json()}


@pytest.mark.parametrize(
    ("kind", "header", "values", "others"),
    [
        ("customers", "no,name,email", ["Ada,a@example.com"], ["Ada,b@example.com"]),
        ("leads", "no,name,score,next_follow_up_at", ["Ada,6,2027-01-01T09:00:00Z"], ["Ada,7,"]),
    ],
)
async def test_a_dry_run_tells_what_the_import_would_do(send, kind, header, values, others):
    """Before, after, and when the file has changed; and it does that."""
    ask = {"key_column": "no", "source": uuid4().hex}

    async def told(lines, *, dry_run):
        text = "\n".join([header, *lines, ""])
        report = (await send(kind, text, dry_run=dry_run, **ask)).json()
        names = ("created", "updated", "unchanged", "failed")
        return {name: report[name] for name in names if report[name]}

    first = [f"{number},{values[0]}" for number in range(250)]
    second = [f"0,{others[0]}", *first[1:], f"new,{values[0]}"]
    for lines in (first, second):
        foreseen = await told(lines, dry_run="true")
        assert foreseen == await told(lines, dry_run="false")
        assert await told(lines, dry_run="true") == {"unchanged": len(lines)}


async def test_a_dry_run_is_told_what_the_database_refuses(send, rest, manager, customer):
    """Unknown customers and staff, leads of others, rules; and it leaves no trace."""
    mark = uuid4().hex
    other = await manager.create_customer(CustomerCreate(name=f"{mark} other"))
    await manager.create_lead(other.id, LeadCreate())
    time = "2027-01-01T09:00:00Z"
    jobs = [
        f"{customer.id},{mark},,",
        f"{uuid4()},{mark},,",
        f"{customer.id},{mark},{time},2026-01-01T09:00:00Z",
        f"{customer.id},,,",
    ]
    leads = [
        f",{mark},5,",
        f",{mark},500,",
        f",{mark},5,{uuid4()}",
        f",{mark},5,{MANAGER.uid}",
        f",{mark},5,{INACTIVE.uid}",
        f"{other.id},{mark} changed,5,",
    ]
    files = {
        "jobs": "\n".join(["customer_id,title,scheduled_start,scheduled_end", *jobs, ""]),
        "leads": "\n".join(["customer_id,name,score,assigned_to", *leads, ""]),
    }
    expected = {
        ("jobs", AGENT): [(3, "unknown-reference"), (4, "rule-refused"), (5, "invalid-request")],
        ("leads", AGENT): [
            (3, "invalid-request"),
            (4, "forbidden"),
            (5, "forbidden"),
            (6, "rule-refused"),
            (7, "forbidden"),
        ],
        ("leads", MANAGER): [
            (3, "invalid-request"),
            (4, "unknown-reference"),
            (6, "rule-refused"),
        ],
    }
    for (kind, persona), wrong in expected.items():
        before = await _newest_entry(rest)
        ask = {"key": uuid4().hex, "persona": persona}
        foreseen = (await send(kind, files[kind], dry_run="true", **ask)).json()
        assert await _newest_entry(rest) == before
        told = [(problem["line"], problem["code"]) for problem in foreseen["problems"]]
        done = (await send(kind, files[kind], **ask)).json()
        assert told == wrong, (kind, persona)
        assert done == {**foreseen, "dry_run": False}


async def _newest_entry(rest):
    ask = {"select": "id", "order": "id.desc", "limit": "1"}
    return (await rest.get("/activity_log", params=ask)).json()


async def test_a_line_that_fails_leaves_nothing_behind(send, rest, manager):
    """A lead that is refused, by the service or the database: its customer stays as it was."""
    mark = uuid4().hex
    other = await manager.create_customer(CustomerCreate(name=f"{mark} other"))
    await manager.create_lead(other.id, LeadCreate())
    text = (
        "customer_id,name,score,assigned_to\n"
        f",{mark} invalid,500,\n,{mark} not mine,5,{MANAGER.uid}\n"
        f"{other.id},{mark} renamed,5,\n,{mark} good,5,\n"
    )
    report = (await send("leads", text, key=mark)).json()
    assert (report["created"], [problem["line"] for problem in report["problems"]]) == (
        1,
        [2, 3, 4],
    )
    people = await rest.get("/customers", params={"name": f"like.{mark}*", "order": "name"})
    assert [row["name"] for row in people.json()] == [f"{mark} good", f"{mark} other"]


async def test_a_line_that_is_repeated_is_told_and_not_written(send, rest):
    """The last one counts; importing again writes nothing, wherever the lines stand."""
    mark = uuid4().hex
    filler = "".join(f"{n},{mark} {n}\n" for n in range(2, 1200))
    text = f"no,name\n1,{mark} first\n{filler} 1 ,{mark} last\n"
    for dry_run, outcome in (("true", "created"), ("false", "created"), ("false", "unchanged")):
        ask = {"key_column": "no", "source": mark, "dry_run": dry_run}
        report = (await send("customers", text, **ask)).json()
        assert (report[outcome], report["failed"]) == (1199, 1)
        (problem,) = report["problems"]
        assert (problem["line"], problem["key"]) == (2, "1")
        assert "line 1201" in problem["detail"]
    found = await rest.get("/customers", params={"name": f"in.({mark} first,{mark} last)"})
    assert [(row["name"], row["version"]) for row in found.json()] == [(f"{mark} last", 1)]


async def test_empty_columns_of_a_spreadsheet_are_left_out(send):
    """However many there are at the end of its lines."""
    text = "name,,\nA,,\nB,x,y\n"
    assert counts(await send("customers", text, key=uuid4().hex)) == {"read": 2, "created": 2}


async def test_the_same_lines_in_other_orders_at_once_do_not_block_each_other(send, rest):
    """Each row is created once, and by whoever came first."""
    mark = uuid4().hex
    lines = [f"{n},{mark} {n},{n % 100}\n" for n in range(900)]
    orders = [lines, lines[::-1], lines[450:] + lines[:450]]
    ask = {"key_column": "no", "source": mark}
    reports = await asyncio.gather(
        *(send("leads", "no,name,score\n" + "".join(order), **ask) for order in orders)
    )
    assert sum(counts(report).get("created", 0) for report in reports) >= 900
    assert sum(report.json()["failed"] for report in reports) == 0
    found = await rest.get("/customers", params={"name": f"like.{mark}*", "select": "version"})
    assert [row["version"] for row in found.json()] == [1] * 900


async def test_jobs_name_their_customer_by_key(send):
    """The key of the customers' file of the same source."""
    ask = {"key_column": "no", "source": uuid4().hex}
    await send("customers", "no,name\n1,Ada\n", **ask)
    text = "no,customer_key,title,scheduled_start\n1,1,Boiler,2027-01-01T09:00:00Z\n2,9,Lost,\n"
    document = (await send("jobs", text, **ask)).json()
    assert (document["created"], document["failed"]) == (1, 1)
    assert document["problems"][0]["code"] == "unknown-reference"


async def test_progress_is_told_by_events(send):
    """One per batch, then the report."""
    text = "name\n" + "".join(f"P {n}\n" for n in range(1100))
    response = await send("customers", text, accept="text/event-stream", key=str(uuid4()))
    blocks = [block.split("\n") for block in response.text.strip().split("\n\n")]
    assert [block[0] for block in blocks] == ["event: progress"] * 3 + ["event: report"]
    reads = [json.loads(block[1].removeprefix("data: "))["read"] for block in blocks]
    assert reads == [500, 1000, 1100, 1100]


@pytest.mark.parametrize(
    ("text", "query", "says"),
    [
        ("", {}, "no header line"),
        ("name,name\nA,B\n", {}, "the header 'name' twice"),
        ("name, name\nA,B\n", {}, "more than one header for 'name'"),
        ("email\na@example.com\n", {}, "no header 'name', only: email"),
        ("name;email\nA;a@example.com\n", {}, "separated by semicolons"),
        ("name\nA\n", {"map": ["nothing=name"]}, "names the header 'nothing'"),
        ("name\nA\n", {"map": ["name=secret"]}, "names the column 'secret'"),
        ("name\nA\n", {"map": ["name=email"]}, "map has no header 'name'"),
        ('"name";"email"\n"A";"a@example.com"\n', {}, "separated by semicolons"),
        ("name\nA\n", {"map": ["name"]}, "must be Header=column"),
        ("name,x\nA,B\n", {"map": ["x=email", "x=phone"]}, "names the header 'x' twice"),
        ("name\nA\n", {"key_column": "no"}, "names 'no', which is no header"),
        (b'name\n"A\nB"\n\xff\xfe\n', {}, "not in UTF-8 at line 4"),
        ('name\n"A" B\n', {}, "not CSV at line 2"),
        ("name\n" + "A\n" * 50_001, {}, "more than 50000 lines"),
    ],
)
async def test_wrong_files_are_refused(send, text, query, says):
    """One clear problem that says what to do."""
    response = await send("customers", text, key="k", **query)
    assert says in assert_problem(response, 422, "invalid-request")["detail"]


@pytest.mark.parametrize("end", [b"\xff\n", b'"A" B\n'])
async def test_a_file_that_is_wrong_at_its_end_writes_nothing(send, rest, end):
    """Also as a stream: it is looked through before the first batch."""
    mark = uuid4().hex
    text = f"name\n{f'{mark}{chr(10)}' * 1200}".encode() + end
    for accept in ("application/json", "text/event-stream"):
        response = await send("customers", text, key="k", accept=accept)
        assert_problem(response, 422, "invalid-request")
    assert (await rest.get("/customers", params={"name": f"eq.{mark}"})).json() == []


async def test_a_form_json_or_a_compressed_file_is_not_a_file(http, sign_in):
    """Told as what it is, instead of as strange columns."""
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}", "Idempotency-Key": "k"}
    url = "/v1/imports/customers"
    for answer in (
        await http.post(url, files={"file": ("a.csv", "name\nA\n")}, headers=headers),
        await http.post(url, json={"name": "A"}, headers=headers),
        await http.post(url, content=b"x", headers={**headers, "Content-Encoding": "gzip"}),
    ):
        problem = assert_problem(answer, 415, "unsupported-media-type")
        assert "text/csv" in problem["detail"]


async def test_every_line_that_failed_is_reported(send):
    """However many there are, in the order of the file."""
    text = "name,email\n" + "A,wrong\n" * 1100
    report = await send("customers", text, accept="text/csv", key=uuid4().hex)
    lines = [row["line"] for row in csv.DictReader(io.StringIO(report.text))]
    assert lines == [str(number) for number in range(2, 1102)]


async def test_lines_without_a_name_for_good_need_a_key(send):
    """Else a repeat would write everything twice."""
    problem = assert_problem(await send("customers", "name\nA\n"), 422, "invalid-request")
    assert "Idempotency-Key" in problem["detail"]


async def test_lines_that_cannot_be_rows_fail_alone(send, rest):
    """Without their key, with text that cannot be stored, with another number of cells."""
    mark = uuid4().hex
    text = (
        f"no,name,preferences\n{mark}1,{mark},{{}}\n ,{mark},\n{mark}3,a\x00b,\n"
        f'{mark}4,{mark},"{{""x"": ""\\u0000""}}"\n{mark}5,{mark},NaN\n{mark}6\n'
    )
    report = (await send("customers", text, key_column="no")).json()
    assert [problem["line"] for problem in report["problems"]] == [3, 4, 5, 6, 7]
    assert "has no 'no'" in report["problems"][0]["detail"]
    assert "NUL" in report["problems"][2]["detail"]
    assert len((await rest.get("/customers", params={"name": f"eq.{mark}"})).json()) == 1


async def test_a_key_names_one_file(send, rest):
    """The same file goes on where it ended; another one is refused, whatever names its lines."""
    mark, key = uuid4().hex, uuid4().hex
    text = f"name,email\n{mark} 1,\n{mark} 2,nonsense\n"
    assert (await send("customers", text, key=key, dry_run="true")).json()["created"] == 1
    assert counts(await send("customers", text, key=key)) == {"read": 2, "created": 1, "failed": 1}
    again = counts(await send("customers", text, key=key))
    assert again == {"read": 2, "unchanged": 1, "failed": 1}
    corrected = text.replace("nonsense", "a@example.com")
    for query in ({}, {"key_column": "name"}):
        refused = await send("customers", corrected, key=key, **query)
        problem = assert_problem(refused, 422, "idempotency-key-reused")
        assert "key_column" in problem["detail"]
    found = await rest.get("/customers", params={"name": f"like.{mark}*"})
    assert [row["name"] for row in found.json()] == [f"{mark} 1"]


async def test_an_export_has_everything_and_runs_nothing(send, http, sign_in):
    """Every row once; formulas are defused."""
    mark = uuid4().hex
    await send("customers", f'name\n"=cmd {mark}"\n', key=mark)
    headers = {"Authorization": f"Bearer {sign_in(AGENT)}"}
    response = await http.get("/v1/exports/customers", headers=headers)
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert len({row["id"] for row in rows}) == len(rows) > 200
    assert f"'=cmd {mark}" in {row["name"] for row in rows}
    for kind in ("leads", "jobs", "invoices", "messages", "loyalty", "calls"):
        assert (await http.get(f"/v1/exports/{kind}", headers=headers)).status_code == 200


async def test_what_was_exported_is_imported_as_it_was(http, sign_in, send, manager):
    """Telephone numbers, formulas, apostrophes, line breaks; nothing differs, before and after."""
    nasty = ["+44 20 7946 0000", "=1+1", "'=1", "''", "'", 'a, "b"\nc', "-", "\t@"]
    for text in nasty:
        made = await manager.create_customer(
            CustomerCreate(name=f"x{text}", phone=text, preferences={"a": [1, {"b": text}]})
        )
        await manager.create_lead(made.id, LeadCreate(score=7, source=text))
        await manager.create_job(JobCreate(customer_id=made.id, title="T", description=text))
    headers = {"Authorization": f"Bearer {sign_in(MANAGER)}"}
    for kind in ("customers", "leads", "jobs"):
        exported = (await http.get(f"/v1/exports/{kind}", headers=headers)).content
        key = exported.partition(b",")[0].decode()
        for dry_run in ("true", "false"):
            report = await send(kind, exported, persona=MANAGER, key_column=key, dry_run=dry_run)
            told = counts(report)
            assert told == {"read": told["read"], "unchanged": told["read"]}, (kind, dry_run)
        assert (await http.get(f"/v1/exports/{kind}", headers=headers)).content == exported


async def test_when_a_lead_was_won_is_shown_and_not_imported(http, sign_in, send, manager):
    """Whatever a spreadsheet has made of it."""
    made = await manager.create_customer(CustomerCreate(name="Won"))
    await manager.create_lead(made.id, LeadCreate())
    won = await manager.convert_lead(made.id)
    headers = {"Authorization": f"Bearer {sign_in(MANAGER)}"}
    exported = (await http.get("/v1/exports/leads", headers=headers)).text
    row = next(
        row for row in csv.DictReader(io.StringIO(exported)) if row["customer_id"] == str(made.id)
    )
    assert won.closed_at is not None
    assert datetime.fromisoformat(row["closed_at"]) == won.closed_at
    changed = {**row, "closed_at": "1/5/2020", "score": "50"}
    text = io.StringIO()
    lines = csv.DictWriter(text, changed)
    lines.writeheader()
    lines.writerow(changed)
    report = await send("leads", text.getvalue(), persona=MANAGER, key_column="customer_id")
    assert counts(report) == {"read": 1, "updated": 1}
    after = await manager.get_lead(made.id)
    assert (after.score, after.closed_at) == (50, won.closed_at)


async def test_a_database_that_goes_away_is_told_in_the_stream():
    """With the status that it would have had, so that a client knows that it may go on."""
    async with scripted_app(ScriptedSupabase(refusal("57P03", 503))) as (_, client):
        headers = {"Authorization": f"Bearer {sign_hs256()}", "Accept": "text/event-stream"}
        url = "/v1/imports/customers?key_column=no"
        response = await client.post(url, content="no,name\n1,A\n", headers=headers)
    event, data = response.text.strip().split("\n")
    told = json.loads(data.removeprefix("data: "))
    assert event == "event: problem"
    assert (told["code"], told["status"]) == ("database-unavailable", 503)


async def test_an_export_is_whole_where_a_project_gives_few_rows_at_once():
    """PostgREST's setting max-rows cuts every answer; the end is where nothing is left."""

    def page(*numbers):
        return rows(*({**CUSTOMER_ROW, "id": str(UUID(int=number))} for number in numbers))

    supabase = ScriptedSupabase(page(1, 2), page(3), page())
    async with scripted_app(supabase) as (_, client):
        headers = {"Authorization": f"Bearer {sign_hs256()}"}
        response = await client.get("/v1/exports/customers", headers=headers)
    exported = csv.DictReader(io.StringIO(response.text))
    assert [UUID(row["id"]).int for row in exported] == [1, 2, 3]
    assert supabase.calls[-1].url.params["id"] == f"gt.{UUID(int=3)}"
