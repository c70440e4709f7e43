"""Settings: where they come from and what is refused."""

import base64
import json

import pytest
from pydantic import ValidationError

from crm_service.__main__ import main, render_settings_error
from crm_service.settings import Settings
from tests.support.crm import make_settings


def legacy_key(**claims: str) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"header.{payload}.signature"


def test_reads_the_environment_that_the_stack_prints(monkeypatch):
    """The variables of `portalctl up` are enough."""
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:54321/")
    monkeypatch.setenv("SUPABASE_PUBLISHABLE_KEY", "sb_publishable_x")
    monkeypatch.setenv("SUPABASE_ANON_KEY", "unused")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_never_read")
    monkeypatch.setenv("SUPABASE_JWT_SECRET", "")
    settings = Settings(_env_file=None)
    assert settings.rest_url == "http://127.0.0.1:54321/rest/v1"
    assert settings.issuer == "http://127.0.0.1:54321/auth/v1"
    assert settings.supabase_key.get_secret_value() == "sb_publishable_x"
    assert settings.jwt_secret is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)


def test_reads_a_dotenv_file(tmp_path, monkeypatch):
    """`.env` in the working folder is read; the anon key serves as well."""
    monkeypatch.chdir(tmp_path)
    for name in ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".env").write_text("SUPABASE_URL=http://h\nSUPABASE_ANON_KEY=k\nCRM_PORT=9\n")
    settings = Settings()
    assert (settings.supabase_url, settings.port) == ("http://h", 9)


@pytest.mark.parametrize("key", ["sb_secret_abc", legacy_key(role="service_role")])
def test_refuses_a_secret_key(key):
    """The secret key never reaches the request path."""
    with pytest.raises(ValidationError, match="holds a secret key") as caught:
        make_settings(supabase_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"jwt_secret": "super-secret-jwt-token-with-at-least-32-characters-long"},
        {"supabase_key": legacy_key(iss="supabase-demo", role="anon")},
        {"supabase_key": "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH"},
    ],
)
def test_refuses_demo_keys_outside_development(values):
    """Keys that everybody knows work on a developer machine only; the variable is named."""
    variables = {"jwt_secret": "SUPABASE_JWT_SECRET", "supabase_key": "SUPABASE_PUBLISHABLE_KEY"}
    with pytest.raises(ValidationError, match="CRM_ENVIRONMENT=development") as caught:
        make_settings(**values)
    assert variables[next(iter(values))] in render_settings_error(caught.value)
    assert make_settings(**values, environment="development").environment == "development"


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "https:///rest",
        "http://a b",
        "http://host:99999",
        "http://host:port",
        "http://[::1",
        "http://host?key=1",
        "http://host#top",
        "http://höst",
        "http://host/\n",
        "abc.supabase.co",
    ],
)
def test_refuses_what_is_no_address(url):
    """An address that no request could go to is a mistake to be told of at the start."""
    with pytest.raises(ValidationError, match="address of the Supabase project"):
        make_settings(supabase_url=url)


@pytest.mark.parametrize(
    "url", ["https://abc.supabase.co", "http://[::1]:54321", "https://example.com/supabase"]
)
def test_takes_addresses(url):
    """With a port, an IPv6 address, or behind a path."""
    assert make_settings(supabase_url=f"{url}/").supabase_url == url


@pytest.mark.parametrize("key", ["sb_publishable_x\ny", "sb_publishable_x ", "schlüssel"])
def test_refuses_a_key_that_fits_in_no_header(key):
    """A key with a line break or a blank was copied wrongly; it is not repeated."""
    with pytest.raises(ValidationError, match="blanks") as caught:
        make_settings(supabase_key=key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "rate", ["lots", "0/minute", "10/minute;5/second", "-1/minute", "10/minute,"]
)
def test_refuses_rates_that_would_not_hold(rate):
    """Of two limits, one would be forgotten; a limit of none lets nobody in."""
    with pytest.raises(ValidationError, match="such as 600/minute"):
        make_settings(rate_limit=rate)


def test_a_level_of_the_log_may_be_written_in_capitals():
    assert make_settings(log_level="WARNING").log_level == "warning"


def test_refuses_a_short_secret():
    """A secret of fewer than 32 bytes is a mistake."""
    with pytest.raises(ValidationError, match="shorter than 32 bytes"):
        make_settings(jwt_secret="short")


def test_secrets_stay_out_of_representations():
    """Printing the settings shows no secret."""
    text = repr(make_settings())
    assert "sb_publishable_test" not in text
    assert "a-secret-of-this-test" not in text


def test_start_without_settings_says_what_is_missing(tmp_path, monkeypatch, capsys):
    """`python -m crm_service` in an empty folder exits with 2 and names the variables."""
    monkeypatch.chdir(tmp_path)
    for name in ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY"):
        monkeypatch.delenv(name, raising=False)
    assert main() == 2
    message = capsys.readouterr().err
    assert "SUPABASE_URL: Field required" in message
    assert "SUPABASE_PUBLISHABLE_KEY: Field required" in message


def test_settings_error_repeats_no_value():
    """The message names the variable and not what was in it."""
    with pytest.raises(ValidationError) as caught:
        make_settings(supabase_url="ftp://secret.example")
    text = render_settings_error(caught.value)
    assert "starting with http(s)://" in text
    assert "secret.example" not in text


def start_without_variables(folder, monkeypatch, **variables):
    """Run the program in a folder; it is expected to give up before it listens."""
    monkeypatch.chdir(folder)
    for name in ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return main()


def test_a_dotenv_file_that_is_no_text_is_named(tmp_path, monkeypatch, capsys):
    """A file in another encoding ends the start in plain words."""
    (tmp_path / ".env").write_bytes("SUPABASE_URL=http://h".encode("utf-16"))
    assert start_without_variables(tmp_path, monkeypatch) == 2
    assert ".env cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["nonsense.invalid", "192.0.2.1"])
def test_an_address_of_another_machine_names_the_host(tmp_path, monkeypatch, capsys, host):
    """A wrong CRM_HOST is not blamed on the port."""
    variables = {"SUPABASE_URL": "http://h", "SUPABASE_PUBLISHABLE_KEY": "k", "CRM_PORT": "0"}
    assert start_without_variables(tmp_path, monkeypatch, **variables, CRM_HOST=host) == 3
    message = capsys.readouterr().err
    assert "CRM_HOST" in message
    assert "CRM_PORT" not in message
