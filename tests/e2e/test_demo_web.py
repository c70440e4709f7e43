"""The page of the demo: buttons reach the right customer, and an outage is never dressed up."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from portalctl import app
from portalctl.exits import ExitCode
from tests.support.processes import descendants

DEMO = [sys.executable, "-m", "portalctl", "demo", "--web", "--port", "0"]


@pytest.fixture
def page(tmp_path) -> Iterator[httpx.Client]:
    with subprocess.Popen(DEMO, stderr=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            address = None
            while address is None:
                line = process.stderr.readline()
                assert line, "the demo ended before it served"
                address = re.search(r"http://127\.0\.0\.1:\d+", line)
            with (
                httpx.Client(base_url=address[0], timeout=30, trust_env=False) as client,
                client.stream("GET", "/events"),  # a page that is still open at the end
            ):
                yield client
                family = descendants(process.pid)
                assert len(family) >= 3, "the stack, PostgreSQL and the service"
                process.send_signal(signal.SIGINT)
                assert process.stderr.read() == "demo: stopping …\n"
                assert process.wait(30) == ExitCode.INTERRUPTED
                assert [pid for pid in family if Path(f"/proc/{pid}/stat").exists()] == []
        finally:
            process.terminate()


@pytest.mark.slow
def test_staff_act_and_the_customer_sees_it_and_an_outage_is_shown(page: httpx.Client) -> None:
    assert "Portal Sync" in page.get("/").text
    with page.stream("GET", "/events") as stream:
        events = (json.loads(line[6:]) for line in stream.iter_lines() if line.startswith("data: "))
        assert {next(events)["portal"], next(events)["portal"]} == {"left", "right"}

        act(page, "message")
        event = next(event for event in events if event["change"])
        assert (event["portal"], event["change"]["table"], event["change"]["source"]) == (
            "left", "messages", "live",
        )  # fmt: skip
        assert event["view"]["state"] == "live"

        assert event["network"]

        assert page.post("/network", json={"up": False}).status_code == 204
        assert not next(event for event in events if event["portal"] == "right")["network"]
        left = (event["view"]["state"] for event in events if event["portal"] == "left")
        states = list(iter(left.__next__, "offline"))
        assert set(states) == {"stale"}, "the network is away: live would be a lie"
        act(page, "points")
        assert page.post("/network", json={"up": True}).status_code == 204
        caught_up = next(event for event in events if event["change"])
        assert caught_up["change"]["table"] == "loyalty_transactions"
        assert caught_up["change"]["source"] == "catch_up"
        if caught_up["view"]["state"] != "live":
            next(e for e in events if e["portal"] == "left" and e["view"]["state"] == "live")

    assert page.post("/act", json={"portal": "left", "action": "pay"}).status_code == 400
    assert page.post("/act", content=b'{"portal": "left", "action": "points"}').status_code == 400
    assert page.post("/network", json={"up": "yes"}).status_code == 400
    assert page.get("/", headers={"Host": "portal.example"}).status_code == 400


def act(page: httpx.Client, action: str) -> None:
    answer = page.post("/act", json={"portal": "left", "action": action})
    assert answer.status_code == 204, answer.text


def test_options_that_contradict_each_other_are_refused() -> None:
    assert app.run(["demo", "--web", "--json"]) == ExitCode.USAGE
    assert app.run(["demo", "--web", "--seconds", "5"]) == ExitCode.USAGE
    assert app.run(["demo", "--port", "8080"]) == ExitCode.USAGE
    assert app.run(["demo", "--web", "--port", "65536"]) == ExitCode.USAGE
