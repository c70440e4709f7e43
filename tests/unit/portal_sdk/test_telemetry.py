"""The OpenTelemetry hook: what a meter reads is what portal.metrics says."""

from __future__ import annotations

import gc
import subprocess
import sys
from typing import Any

import pytest
from opentelemetry.metrics import CallbackOptions, NoOpMeter

from portal_sdk import ConfigurationError
from portal_sdk.telemetry import observe
from portal_sdk.testing import FakeProject


class ReadingMeter(NoOpMeter):
    """Keeps the callbacks, and reads them when asked."""

    def __init__(self) -> None:
        super().__init__("test")
        self.callbacks: dict[str, Any] = {}

    def create_observable_counter(self, name: str, callbacks: Any = None, *a: Any, **k: Any) -> Any:
        self.callbacks[name] = callbacks

    create_observable_gauge = create_observable_counter

    def read(self) -> dict[tuple[str, ...], float]:
        numbers = {}
        for name, callbacks in self.callbacks.items():
            for callback in callbacks:
                for seen in callback(CallbackOptions()):
                    key = (name.removeprefix("portal_sync."), *dict(seen.attributes or {}).values())
                    numbers[key] = seen.value
        return numbers


async def test_a_meter_reads_the_portals_numbers_and_lets_it_go() -> None:
    project, meter = FakeProject(), ReadingMeter()
    jo = project.add_customer()
    portal = project.portal(jo)
    async with portal:
        observe(portal, meter=meter, attributes={"shop": "north"})
        await portal.ready()
        changes = portal.messages.changes()
        await (await portal.messages.send("Hello")).synced()
        numbers = meter.read()
        assert numbers["changes", "north", "local"] == portal.metrics.changes["local"] == 1
        assert numbers["writes", "north", "synced"] == 1
        assert numbers["state", "north", "live"] == 1
        assert numbers["sockets_opened", "north"] == 1
        assert numbers["write_latency", "north", "1"] == portal.metrics.write_latency.max_ms
        assert "Hello" not in str(numbers)
        assert jo.id not in str(numbers)
        await changes.aclose()
    assert meter.read()["state", "north", "closed"] == 1


async def test_a_portal_that_is_gone_is_not_read_and_not_kept() -> None:
    meter = ReadingMeter()
    project = FakeProject()
    portal = project.portal(project.add_customer())
    observe(portal, meter=meter)
    assert meter.read()["state", "connecting"] == 1
    del portal
    gc.collect()
    assert meter.read() == {}


def test_what_is_no_portal_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="needs a portal"):
        observe("portal")  # type: ignore[arg-type]


def test_who_does_not_ask_for_it_pays_nothing() -> None:
    code = "import sys, portal_sdk; sys.exit('opentelemetry' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
