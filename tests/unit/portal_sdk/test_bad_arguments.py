"""An argument that cannot be right is refused at once, with what to do."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from portal_sdk import (
    ConfigurationError,
    PasswordAuth,
    Portal,
    PortalConfig,
)
from portal_sdk.testing import FakeProject

KEY = "sb_publishable_x"
LOGIN = PasswordAuth("jo@example.com", "secret")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("", "is empty"),
        ("127.0.0.1:54321", "must start with http"),
        ("ftp://x.example", "must start with http"),
        ("http://", "must start with http"),
        ("http://[::1", "malformed"),
        ("http://x.example:port", "malformed"),
        ("https://x.example/?a=b", "must be plain"),
        ("https://jo:secret@x.example", "must be plain"),
        (" ", "is empty"),
        (None, "must be a text, not None"),
        (5, "must be a text, not int"),
        (b"http://127.0.0.1:1", "must be a text, not bytes"),
        ("http://exa mple", "malformed: it has spaces"),
        ("http://exa\tmple", "malformed: it has spaces"),
        ("http://exa\x00mple", "malformed: it has spaces"),
        ("https://<ref>.supabase.co", "malformed"),
    ],
)
def test_a_url_that_cannot_be_right_is_refused(url: Any, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice) as caught:
        Portal(url, KEY, auth=LOGIN)
    assert "https://<ref>.supabase.co" in str(caught.value)
    assert "secret" not in str(caught.value)


SERVICE_ROLE = ".".join(
    ["x", base64.urlsafe_b64encode(b'{"role":"service_role"}').decode().rstrip("="), "y"]
)


@pytest.mark.parametrize(
    "key", ["", " ", "two words", "sb_secret_abc", SERVICE_ROLE, "schlüssel", None]
)
def test_a_key_that_cannot_be_right_is_refused(key: Any) -> None:
    with pytest.raises(ConfigurationError, match="publishable"):
        Portal("http://127.0.0.1:1", key, auth=LOGIN)


@pytest.mark.parametrize("given", [("", "x"), ("jo", " "), (5, "x"), (None, "x"), ("jo", b"x")])
def test_a_login_that_cannot_be_right_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs an e-mail address and a password"):
        PasswordAuth(*given)


def test_something_else_than_a_sign_in_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="PasswordAuth"):
        Portal("http://127.0.0.1:1", KEY, auth=("jo@example.com", "secret"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "argument", [{"config": "fast"}, {"config": {"pull_limit": 5}}, {"store": 5}]
)
def test_an_argument_of_another_kind_is_named(argument: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=f"{next(iter(argument))} must be"):
        Portal("http://127.0.0.1:1", KEY, auth=LOGIN, **argument)


@pytest.mark.parametrize(
    ("store", "advice"),
    [
        ("", "empty path; name a file"),
        (" ", "empty path; name a file"),
        (":memory:", "use store=None"),
        (Path(":memory:"), "use store=None"),
        ("a\0b", "characters that no file name can have; name a file"),
        (Path("a\0b"), "characters that no file name can have"),
        ("a\ud800b", "characters that no file name can have"),
    ],
)
def test_a_store_that_can_be_no_file_is_refused(store: str | Path, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice):
        Portal("http://127.0.0.1:1", KEY, auth=LOGIN, store=store)


@pytest.mark.parametrize(
    "settings",
    [
        {"verify_interval_s": 0},
        {"poll_interval_s": float("nan")},
        {"pull_limit": 5001},
        {"doorbells": ("bell",)},
        {"request_timeout_s": "10"},
        {"pull_limit": 1.5},
        {"queue_capacity": 0.5},
        {"verify_interval_s": True},
        {"doorbells": None},
        {"doorbells": "broadcast"},
        {"doorbells": (["broadcast"],)},
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        PortalConfig(**settings)


def _yields(record: Any) -> Iterator[Any]:
    yield record


async def _yields_later(record: Any) -> Any:
    yield record


@pytest.mark.parametrize(
    ("callback", "advice"),
    [
        ("print", "must be a function"),
        (None, "must be a function"),
        (lambda: None, r"must take \(record\)"),
        (lambda record, previous: None, r"must take \(record\)"),
        (_yields, "yield"),
        (_yields_later, "yield"),
    ],
)
def test_a_callback_that_could_never_run_is_refused(callback: Any, advice: str) -> None:
    project = FakeProject()
    portal = project.portal(project.add_customer())
    with pytest.raises(ConfigurationError, match=advice):
        portal.jobs.on_insert(callback)
    assert not portal.jobs.has_subscribers()


def test_every_callback_says_what_it_is_called_with() -> None:
    project = FakeProject()
    portal = project.portal(project.add_customer())
    with pytest.raises(ConfigurationError, match=r"must take \(record, previous\)"):
        portal.jobs.on_update(lambda record: None)
    for register in (portal.on_change, portal.jobs.on_change, portal.jobs.view().on_change):
        with pytest.raises(ConfigurationError, match=r"must take \(change\)"):
            register(lambda: None)
    with pytest.raises(ConfigurationError, match=r"must take \(write\)"):
        portal.outbox.on_refused(lambda: None)
    with pytest.raises(ConfigurationError, match=r"must take \(conflict\)"):
        portal.outbox.on_conflict(lambda: None)
    portal.jobs.on_insert(print)  # a built-in function takes anything
