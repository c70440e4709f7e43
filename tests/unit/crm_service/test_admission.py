"""How long a session that was verified is let in without another look."""

import time
from types import SimpleNamespace

import pytest

from crm_service import admission
from tests.support.crm import (
    CUSTOMER_ROW,
    ScriptedSupabase,
    make_settings,
    rows,
    running_app,
    sign_hs256,
)

PATH = f"/v1/customers/{CUSTOMER_ROW['id']}"


@pytest.mark.parametrize(("session_s", "remembered_s"), [(3600, 30), (10, 10)])
async def test_a_session_is_remembered_for_a_moment_and_never_beyond_its_end(
    monkeypatch, session_s, remembered_s
):
    """A header that was verified is verified again after half a minute, or at the end."""
    began = int(time.time())
    clock = SimpleNamespace(now=began)
    monkeypatch.setattr(admission, "time", SimpleNamespace(time=lambda: clock.now))
    session = {"Authorization": f"Bearer {sign_hs256(exp=began + session_s)}"}
    async with running_app(make_settings(), ScriptedSupabase(rows(CUSTOMER_ROW))) as (app, client):
        looked_at = []
        verify = app.services.verifier.verify

        async def counted(authorization):
            looked_at.append(authorization)
            return await verify(authorization)

        monkeypatch.setattr(app.services.verifier, "verify", counted)
        for after_s, times in ((0, 1), (remembered_s - 1, 1), (remembered_s, 2)):
            clock.now = began + after_s
            assert (await client.get(PATH, headers=session)).status_code == 200
            assert len(looked_at) == times
        # What resembles a header that is remembered is not it.
        other = {"Authorization": session["Authorization"] + "x"}
        assert (await client.get(PATH, headers=other)).status_code == 401
