"""Run `portalctl db …` and `portalctl rls …` inside the test process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from portalctl import app


class Answer(NamedTuple):
    """What one command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs one command line."""

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        code = app.run(list(arguments))
        output = capsys.readouterr()
        return Answer(code, output.out, output.err)

    return run
