"""Settings of the service, read from the environment and ``.env`` when asked, never at import."""

import base64
import binascii
import json
import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from crm_service.cipher import KeyRing

# Well-known values that every `supabase start` shares: fine on a laptop, an open door elsewhere.
_DEMO_JWT_SECRETS = frozenset(
    {
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
    }
)
_DEMO_PUBLISHABLE_KEY = "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH"
_DEMO_ISSUER = "supabase-demo"
_MIN_JWT_SECRET_BYTES = 32
# What fits neither in the head of a request nor in an address.
_UNSENDABLE = re.compile(r"[^!-~]")
_KEY_ID = re.compile(r"^[A-Za-z0-9_-]{1,40}$")
_FIELD_KEY_BYTES = 32
# Random keys have about 30 different bytes; a word or zeros have far fewer.
_LEAST_DIFFERENT_BYTES = 12


def _checked_url(value: str) -> str:
    if not _is_address(value):
        raise ValueError("must be the address of the Supabase project, starting with http(s)://")
    return value.rstrip("/")


def _is_address(value: str) -> bool:
    if _UNSENDABLE.search(value):
        return False
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and not (parts.query or parts.fragment)


_LogLevel = Literal["debug", "info", "warning", "error"]


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _checked_key(value: SecretStr) -> SecretStr:
    if _UNSENDABLE.search(value.get_secret_value()):
        raise ValueError("must be the project's key alone, without blanks or line breaks")
    return value


def _checked_origins(value: str) -> str:
    origins = [origin.strip().rstrip("/") for origin in value.split(",") if origin.strip()]
    for origin in origins:
        if not origin.startswith(("http://", "https://")) or origin.count("/") > 2:
            raise ValueError("must be origins such as https://crm.example.com, without a path")
    return ",".join(origins)


def _checked_rate(value: str) -> str:
    if value == "none":
        return ""
    try:
        limits = parse_many(value)
    except ValueError:
        limits = []
    if len(limits) != 1 or limits[0].amount < 1:
        raise ValueError("must be one rate such as 600/minute, or none")
    return value


def _unverified_claims(key: str) -> dict[str, object]:
    """Read the claims of a legacy API key; anything that is not a JWT has none."""
    parts = key.split(".")
    if len(parts) != 3:
        return {}
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        claims = json.loads(base64.urlsafe_b64decode(padded))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def parse_keys(text: str) -> dict[str, bytes]:
    """Read ``CRM_FIELD_KEYS``, in its order.

    Raises:
        ValueError: A key is malformed, weak or named twice; the message holds none of it.
    """
    keys: dict[str, bytes] = {}
    for number, part in enumerate(text.split(","), start=1):
        key_id, _, encoded = part.strip().partition(":")
        if not _KEY_ID.match(key_id):
            raise ValueError(f"key {number} must be id:base64, with an id such as 2026-11")
        try:
            key = base64.b64decode(encoded.replace("-", "+").replace("_", "/"), validate=True)
        except ValueError as error:
            raise ValueError(f"key {number} ({key_id}) is not base64") from error
        if len(key) != _FIELD_KEY_BYTES or len(set(key)) < _LEAST_DIFFERENT_BYTES:
            raise ValueError(
                f"key {number} ({key_id}) must be {_FIELD_KEY_BYTES} random bytes; make one with: "
                "openssl rand -base64 32"
            )
        if key_id in keys:
            raise ValueError(f"two keys have the id {key_id}")
        keys[key_id] = key
    return keys


class Settings(BaseSettings):
    """Everything that can be configured; durations are seconds.

    Raises:
        pydantic.ValidationError: A value is missing, malformed, a secret key, or a well-known
            demo secret outside development. The message names the variable.
    """

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    supabase_url: Annotated[str, AfterValidator(_checked_url)] = Field(
        validation_alias=AliasChoices("SUPABASE_URL", "supabase_url")
    )
    supabase_key: Annotated[SecretStr, AfterValidator(_checked_key)] = Field(
        validation_alias=AliasChoices(
            "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY", "supabase_key"
        )
    )
    """The publishable (or legacy anon) key: it opens the gateway and grants nothing."""
    jwt_secret: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("SUPABASE_JWT_SECRET", "jwt_secret")
    )
    """Only for projects that still sign sessions with HS256."""
    jwt_issuer: str | None = Field(
        default=None, validation_alias=AliasChoices("CRM_JWT_ISSUER", "jwt_issuer")
    )
    jwt_audience: str = Field(
        default="authenticated", validation_alias=AliasChoices("CRM_JWT_AUDIENCE", "jwt_audience")
    )
    environment: Literal["development", "production"] = Field(
        default="production", validation_alias=AliasChoices("CRM_ENVIRONMENT", "environment")
    )
    host: str = Field(default="127.0.0.1", validation_alias=AliasChoices("CRM_HOST", "host"))
    port: int = Field(
        default=8000, ge=0, le=65535, validation_alias=AliasChoices("CRM_PORT", "port")
    )
    log_level: Annotated[_LogLevel, BeforeValidator(_lower)] = Field(
        default="info", validation_alias=AliasChoices("CRM_LOG_LEVEL", "log_level")
    )
    database_timeout_s: float = Field(
        default=10.0,
        gt=0,
        le=120,
        validation_alias=AliasChoices("CRM_DATABASE_TIMEOUT_S", "database_timeout_s"),
    )
    """Longest wait for one answer of PostgREST, connecting and queueing included."""
    database_keepalive_s: float = Field(
        default=4.0,
        ge=0,
        validation_alias=AliasChoices("CRM_DATABASE_KEEPALIVE_S", "database_keepalive_s"),
    )
    """Idle life of a pooled connection; below the usual 5 s of servers: we hang up first."""
    database_connections: int = Field(
        default=20,
        ge=1,
        validation_alias=AliasChoices("CRM_DATABASE_CONNECTIONS", "database_connections"),
    )
    retry_after_s: int = Field(
        default=2, ge=1, validation_alias=AliasChoices("CRM_RETRY_AFTER_S", "retry_after_s")
    )
    signing_keys_ttl_s: float = Field(
        default=600.0,
        gt=0,
        validation_alias=AliasChoices("CRM_SIGNING_KEYS_TTL_S", "signing_keys_ttl_s"),
    )
    rate_limit: Annotated[str, AfterValidator(_checked_rate)] = Field(
        default="1200/minute", validation_alias=AliasChoices("CRM_RATE_LIMIT", "rate_limit")
    )
    """Requests per user and server process, such as ``600/minute``; ``none`` for no limit."""
    max_body_bytes: int = Field(
        default=4_194_304,
        ge=1024,
        validation_alias=AliasChoices("CRM_MAX_BODY_BYTES", "max_body_bytes"),
    )

    max_import_bytes: int = Field(
        default=33_554_432,
        ge=1024,
        validation_alias=AliasChoices("CRM_MAX_IMPORT_BYTES", "max_import_bytes"),
    )
    """Largest CSV file of an import."""
    body_pause_s: float = Field(
        default=20.0, gt=0, validation_alias=AliasChoices("CRM_BODY_PAUSE_S", "body_pause_s")
    )
    """Longest wait for a request's head, and longest pause inside its body or, on Linux, in the
    reading of its answer."""
    cors_origins: Annotated[str, AfterValidator(_checked_origins)] = Field(
        default="", validation_alias=AliasChoices("CRM_CORS_ORIGINS", "cors_origins")
    )
    """Origins of browser front ends, separated by commas; none by default."""
    event_poll_s: float = Field(
        default=15.0, gt=0, validation_alias=AliasChoices("CRM_EVENT_POLL_S", "event_poll_s")
    )
    """How often an event stream looks by itself, should a doorbell be lost."""

    field_keys: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("CRM_FIELD_KEYS", "field_keys")
    )
    """Keys of sensitive fields: ``id:base64`` of 32 bytes, separated by commas; the first one
    encrypts."""

    @property
    def key_ring(self) -> KeyRing:
        """The keys of sensitive fields; empty if none are configured."""
        keys = parse_keys(self.field_keys.get_secret_value()) if self.field_keys else {}
        return KeyRing(next(iter(keys), None), keys)

    @property
    def origins(self) -> list[str]:
        """The allowed origins."""
        return [origin for origin in self.cors_origins.split(",") if origin]

    @property
    def realtime_url(self) -> str:
        """Address of the Realtime socket."""
        return f"ws{self.supabase_url.removeprefix('http')}/realtime/v1/websocket"

    @property
    def rest_url(self) -> str:
        """Address of PostgREST, without a trailing slash."""
        return f"{self.supabase_url}/rest/v1"

    @property
    def auth_url(self) -> str:
        """Address of the Auth server, without a trailing slash."""
        return f"{self.supabase_url}/auth/v1"

    @property
    def issuer(self) -> str:
        """Value that ``iss`` of every staff token must have."""
        return self.jwt_issuer or self.auth_url

    @field_validator("field_keys")
    @classmethod
    def _check_field_keys(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_keys(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _refuse_unsafe_keys(self) -> Self:
        key = self.supabase_key.get_secret_value()
        claims = _unverified_claims(key)
        if key.startswith("sb_secret_") or claims.get("role") == "service_role":
            raise ValueError(
                "SUPABASE_PUBLISHABLE_KEY holds a secret key. The service acts only as the staff "
                "member who calls it: use the publishable (or anon) key."
            )
        secret = self.jwt_secret.get_secret_value() if self.jwt_secret else None
        if secret is not None and len(secret.encode()) < _MIN_JWT_SECRET_BYTES:
            raise ValueError(
                f"SUPABASE_JWT_SECRET is shorter than {_MIN_JWT_SECRET_BYTES} bytes. Copy it from "
                "the project's JWT settings, or leave it out if the project signs with ES256."
            )
        if self.environment == "development":
            return self
        if secret in _DEMO_JWT_SECRETS:
            raise _demo_key("SUPABASE_JWT_SECRET")
        if key == _DEMO_PUBLISHABLE_KEY or claims.get("iss") == _DEMO_ISSUER:
            raise _demo_key("SUPABASE_PUBLISHABLE_KEY")
        return self


def _demo_key(variable: str) -> ValueError:
    return ValueError(
        f"{variable} is a well-known demo key of `supabase start`. Use the project's own keys, "
        "or set CRM_ENVIRONMENT=development on a developer machine."
    )
