"""What the metrics tell of answers that are special."""

import asyncio
import re
from uuid import uuid4

from tests.support.personas import AGENT


async def _count(http, name):
    await asyncio.sleep(0)  # a request is counted when its answer is out
    text = (await http.get("/metrics")).text
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


async def test_replays_and_merges_are_counted(http, sign_in):
    """Once each, and nothing else is."""
    session = {"Authorization": f"Bearer {sign_in(AGENT)}"}
    keyed = {**session, "Idempotency-Key": str(uuid4())}
    before = [await _count(http, f"crm_{name}_total") for name in ("replays", "merges")]
    for _ in range(2):
        created = await http.post("/v1/customers", json={"name": "Once"}, headers=keyed)
    path = f"/v1/customers/{created.json()['id']}"
    for change in ({"phone": "1"}, {"branch": "north"}):
        changed = await http.patch(path, json={**change, "version": 1}, headers=session)
        assert changed.status_code == 200
    assert changed.headers["x-merged-fields"]
    after = [await _count(http, f"crm_{name}_total") for name in ("replays", "merges")]
    assert after == [count + 1 for count in before]
