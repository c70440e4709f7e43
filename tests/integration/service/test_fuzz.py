"""Made-up requests, one by one and in sequences, from the OpenAPI document itself.

Schemathesis runs as its own program: its hooks are global and not for a process with other tests.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.integration.service.conftest import FIELD_KEY
from tests.integration.service.test_process import serving
from tests.support.personas import ADMIN

# Not "use_after_free": what was deleted can be read until somebody restores it.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ensure_resource_availability",
    "ignored_auth",
)


@pytest.mark.parametrize(
    ("phases", "examples", "limit_s"),
    [
        ("fuzzing,stateful", 1, 120),
        pytest.param("examples,coverage,fuzzing,stateful", 60, 1500, marks=pytest.mark.soak),
    ],
)
async def test_a_fuzzer_finds_nothing(stack, sign_in, tmp_path, phases, examples, limit_s):
    """Every operation, alone and in sequences, answers as documented and never with a bug."""
    settings = {"CRM_FIELD_KEYS": FIELD_KEY, "CRM_RATE_LIMIT": "none", "CRM_LOG_LEVEL": "error"}
    async with serving(stack, **settings) as (_, url):
        command = [
            str(Path(sys.executable).parent / "st"), "run", f"{url}/openapi.json", "--no-color",
            "-H", f"Authorization: Bearer {sign_in(ADMIN)}",
            "--phases", phases, "--max-examples", str(examples), "--seed", "20261129",
            "--exclude-path", "/v1/events",  # its answer has no end
            "--checks", ",".join(CHECKS), "--generation-database", "none", "--continue-on-failure",
        ]  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=tmp_path,
            env={**os.environ, "NO_PROXY": "127.0.0.1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(limit_s):
            output, _ = await process.communicate()
    told = output.decode(errors="replace")
    assert "Stateful" in told, told
    assert process.returncode == 0, told[-8000:]
