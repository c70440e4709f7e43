"""What the README and the tutorial show is what happens."""

import asyncio
import json
import re
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from portalctl.demo.day import default_day_path, load_day
from portalctl.demo.servers import Project, crm_server

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = REPOSITORY / "examples"
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
TUTORIAL = (REPOSITORY / "docs/tutorial/first-portal.md").read_text(encoding="utf-8")


def code_block(language: str) -> str:
    """Return the only block of that language in the README."""
    (block,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return block


def test_the_readme_prints_the_example_that_is_run():
    assert code_block("python") == (EXAMPLES / "quickstart.py").read_text(encoding="utf-8")
    assert len(code_block("python").splitlines()) == 20


def test_the_tutorial_quotes_the_example():
    example = (EXAMPLES / "quickstart.py").read_text(encoding="utf-8")
    quoted = TUTORIAL.split("```python\n")[1].split("```")[0]
    for line in quoted.splitlines():
        assert line.strip() in example


def test_the_readme_shows_a_result_that_the_demo_can_give():
    (line,) = re.findall(r'^\{"writes".*\}$', README, re.MULTILINE)
    shown = json.loads(line)
    assert shown["writes"] == len(load_day(default_day_path()))
    assert f"{shown['writes']} staff actions" in README
    assert shown["lost"] == shown["duplicated"] == shown["out_of_order"] == shown["leaked"] == 0
    assert shown["received"] == shown["expected"] > 0


def test_every_link_of_the_readme_and_the_tutorial_leads_somewhere():
    for text, folder in ((README, REPOSITORY), (TUTORIAL, REPOSITORY / "docs/tutorial")):
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            assert target.startswith("https://") or (folder / target).exists(), target


@asynccontextmanager
async def running(program: Path, env: dict[str, str], folder: Path, *arguments: str):
    """Run an example; yields a function that returns its next line."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), *arguments, cwd=folder, env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip

    async def next_line() -> str:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        assert line, (await process.stderr.read()).decode()
        return line.decode().rstrip("\n")

    try:
        yield next_line
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        try:
            await asyncio.wait_for(process.communicate(), 30)
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise


@pytest.mark.slow
async def test_the_examples_run_as_printed(stack, tmp_path):
    """Customer 1 looks, the agent writes, customer 1 sees it."""
    quickstart = tmp_path / "quickstart.py"
    quickstart.write_text(code_block("python"), encoding="utf-8")
    env = {**stack.env(), "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(REPOSITORY)}
    project = Project(stack.api_url, stack.keys.publishable, stack.database_url)
    async with (
        crm_server(tmp_path, project, stack.api_url) as (_, crm_url),
        running(quickstart, env, tmp_path) as customer_sees,
    ):
        assert re.fullmatch(r".+: \d+ jobs, \d+ points", await customer_sees())
        env["CRM_URL"] = crm_url
        async with running(
            EXAMPLES / "staff_message.py", env, tmp_path, "We", "are", "on our way."
        ) as staff_sees:
            written = await staff_sees()
        assert re.fullmatch(r".+ wrote message \S+", written)
        assert await customer_sees() == "live messages insert We are on our way."
