"""The local server answers recorded conversations as the real one did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.spec.realtime.harness import running_project
from tests.wire.transcript import GOLDEN, PROVENANCE, Replay, load

FILES = sorted(GOLDEN.glob("*.jsonl"))
COMPATIBILITY = Path(__file__).parents[2] / "local_stack/realtime/COMPATIBILITY.md"
SCHEMA = Path(__file__).with_name("schema.sql").read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_a_recorded_conversation_goes_the_same_way(path: Path, bare_database: Any) -> None:
    transcript = load(path)
    owner = await asyncpg.connect(bare_database.url)
    await owner.execute(SCHEMA)
    await owner.close()
    async with running_project(
        bare_database.admin_url, bare_database.url, transcript.config
    ) as project:
        await Replay(project, transcript).run()


def test_every_transcript_says_where_it_comes_from() -> None:
    assert len(FILES) >= 25
    for path in FILES:
        assert load(path).head["provenance"] == PROVENANCE, path.name


def test_every_deviation_is_explained_to_users() -> None:
    explained = COMPATIBILITY.read_text()
    found = {
        step["deviation"] for path in FILES for _, step in load(path).steps if "deviation" in step
    }
    assert found
    for deviation in found:
        assert f"| {deviation} |" in explained, deviation
