"""Signing keys are rotated from outside: a running stack follows, a stopped one has them later."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import jwt
import pytest

from local_stack import key_rotation
from local_stack.config import StackConfig
from local_stack.folder import KEYS, StackState
from local_stack.keys import KeyStateError, ProjectKeys
from local_stack.stack import LocalStack
from portalctl import app
from tests.support.waiting import eventually

SIGN_IN = {"email": "customer001@example.com", "password": "portal-demo"}


async def _sign_in(http: httpx.AsyncClient) -> str:
    answer = await http.post("/auth/v1/token?grant_type=password", json=SIGN_IN)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["access_token"]
    return token


async def _reads_with(http: httpx.AsyncClient, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return (await http.get("/rest/v1/customers?select=id", headers=headers)).status_code


async def test_a_running_stack_follows_a_rotation(
    seeded_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new key signs, the old token stays good, until its key is revoked."""
    monkeypatch.setattr(key_rotation, "FOLLOW_PAUSE_S", 0.05)
    async with LocalStack(StackConfig(data_dir=seeded_dir)) as stack:
        unsaved = stack.keys.rotate()
        await asyncio.sleep(0.3)  # it looks several times at a file that nobody has changed
        assert stack.keys.current == unsaved
        stack.keys.adopt(ProjectKeys.load(seeded_dir / KEYS))
        headers = {"apikey": stack.keys.publishable}
        async with httpx.AsyncClient(base_url=stack.api_url, headers=headers) as http:
            before = await _sign_in(http)
            old = jwt.get_unverified_header(before)["kid"]
            standby = next(k for k in stack.keys.signing_keys if k.state == "standby").kid

            in_use = await asyncio.to_thread(key_rotation.rotate, seeded_dir)
            assert await asyncio.to_thread(key_rotation.wait_until_followed, seeded_dir)
            assert in_use.kid == standby
            after = await _sign_in(http)
            assert jwt.get_unverified_header(after)["kid"] == standby
            published = (await http.get("/auth/v1/.well-known/jwks.json")).json()["keys"]
            assert [key["kid"] for key in published[:2]] == [old, standby]
            assert len(published) == 3
            assert [await _reads_with(http, each) for each in (before, after)] == [200, 200]

            await asyncio.to_thread(key_rotation.revoke, seeded_dir, old)
            assert await asyncio.to_thread(key_rotation.wait_until_followed, seeded_dir)
            assert [await _reads_with(http, each) for each in (before, after)] == [401, 200]

            # A damaged file changes nothing, and a good one is followed again.
            text = (seeded_dir / KEYS).read_text()
            (seeded_dir / KEYS).write_text("{")
            log = seeded_dir / "stack.log"
            await eventually(lambda: "stay as they were" in log.read_text())
            assert await _reads_with(http, after) == 200
            (seeded_dir / KEYS).write_text(text)
            newest = await asyncio.to_thread(key_rotation.rotate, seeded_dir)
            await eventually(lambda: stack.keys.current == newest)


async def test_a_rotation_while_the_stack_starts_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Between the reading of the keys and the first look at the file there are seconds."""
    monkeypatch.setattr(key_rotation, "FOLLOW_PAUSE_S", 0.01)
    file = tmp_path / KEYS
    ProjectKeys.generate().save(file)
    seen, read_early = key_rotation.file_version(file), ProjectKeys.load(file)
    in_use = key_rotation.rotate(tmp_path)
    seen_late, read_late = key_rotation.file_version(file), ProjectKeys.load(file)
    in_memory = read_late.rotate()
    async with asyncio.TaskGroup() as group:
        following = [
            group.create_task(key_rotation.follow(file, read_late, seen_late)),
            group.create_task(key_rotation.follow(file, read_early, seen)),
        ]
        await eventually(lambda: read_early.current == in_use)
        for task in following:
            task.cancel()
    assert read_late.current == in_memory, "an unchanged file takes nothing back"
    assert caplog.text.count("were changed") == 1


def test_a_second_rotation_does_not_keep_the_first_from_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack may never have published the keys of the first one."""
    ProjectKeys.generate().save(tmp_path / KEYS)
    running = StackState(1, 54321, 54322, "2026-11-28T12:00:00+00:00", "0.1.0")
    monkeypatch.setattr(key_rotation, "running_stack", lambda _: running)
    asked: list[int] = []

    def publish(_host: str, port: int) -> object:
        asked.append(port)
        if len(asked) == 1:
            key_rotation.rotate(tmp_path)
            return None
        return ProjectKeys.load(tmp_path / KEYS).jwks()

    monkeypatch.setattr(key_rotation, "_published", publish)
    key_rotation.rotate(tmp_path)
    assert key_rotation.wait_until_followed(tmp_path, timeout_s=2)


def test_keys_of_a_stopped_stack_are_rotated_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each step shows the keys; what cannot be done is one line and changes nothing."""
    folder = ["--data", str(tmp_path)]
    assert app.run(["keys", "list", *folder]) == 3
    assert "no keys in" in capsys.readouterr().err
    ProjectKeys.generate().save(tmp_path / KEYS)
    assert app.run(["keys", "rotate", "--json", *folder]) == 0
    listed = json.loads(capsys.readouterr().out)["signing_keys"]
    assert [key["state"] for key in listed] == ["previously_used", "in_use", "standby"]
    assert app.run(["keys", "revoke", listed[1]["kid"], *folder]) == 3
    assert "is in use. Let another sign first: `portalctl keys rotate`" in capsys.readouterr().err
    assert app.run(["keys", "revoke", listed[0]["kid"], *folder]) == 0
    assert "revoked" in capsys.readouterr().out
    with pytest.raises(KeyStateError, match=r"no signing key.*keys list"):
        key_rotation.revoke(tmp_path, "nobody")
    states = [key.state for key in key_rotation.signing_keys(tmp_path)]
    assert states == ["revoked", "in_use", "standby"]
    assert (tmp_path / KEYS).stat().st_mode & 0o777 == 0o600
