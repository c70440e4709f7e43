"""The arguments of portals and clients, checked before anything is done with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from portal_sdk._core.json_value import as_object
from portal_sdk._runtime.jwt import is_secret
from portal_sdk.config import PortalConfig
from portal_sdk.errors import ConfigurationError

_NEVER_IN_URLS = frozenset(' <>"\\^`{|}')


def parse_project_url(url: str) -> str:
    """Return the project's base URL without a trailing slash.

    Raises:
        ConfigurationError: Not an http(s) URL with a host, or it contains a query or user.
    """
    advice = "give the project URL, such as http://127.0.0.1:54321 or https://<ref>.supabase.co"
    if not isinstance(url, str):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise ConfigurationError(f"The project URL must be a text, not {_kind_of(url)}; {advice}")
    if not url.strip():
        raise ConfigurationError(f"The project URL is empty; {advice}")
    if not url.strip().isprintable() or _NEVER_IN_URLS & set(url.strip()):
        raise ConfigurationError(
            f"The project URL is malformed: it has spaces or characters that no URL has; {advice}"
        )
    try:
        parts = urlsplit(url.strip())
        host, _port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"The project URL is malformed; {advice}") from error
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"The project URL must start with http:// or https://; {advice}")
    if parts.query or parts.fragment or parts.username:
        raise ConfigurationError(f"The project URL must be plain; {advice}")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def check_api_key(key: str) -> str:
    """Return the key, refused when it cannot be one a customer's app may hold.

    Raises:
        ConfigurationError: Empty, with white space, or a secret key.
    """
    advice = "use the project's publishable (or anon) key"
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - untyped callers
        raise ConfigurationError(f"The API key must be a text, not {_kind_of(key)}; {advice}")
    if not key.strip():
        raise ConfigurationError(f"The API key is empty; {advice}")
    key = key.strip()
    if not key.isascii() or any(character.isspace() for character in key):
        raise ConfigurationError(f"The API key is malformed; {advice}")
    if is_secret(key):
        raise ConfigurationError(f"A secret key must never be in a customer's app; {advice}")
    return key


def check_kinds(store: object, config: object) -> None:
    """Refuse what a caller without types may pass for them.

    Raises:
        ConfigurationError: One is of another kind, or the store's path can be no file's.
    """
    if config is not None and not isinstance(config, PortalConfig):
        raise ConfigurationError("config must be a PortalConfig(...)")
    if store is None:
        return
    if not isinstance(store, (str, Path)):
        raise ConfigurationError("store must be the path of a file, or None")
    path = str(store)
    advice = "name a file, such as portal.db, or use store=None to keep the rows in memory"
    if not path.strip():
        raise ConfigurationError(f"store is an empty path; {advice}")
    if path == ":memory:":
        raise ConfigurationError("store=':memory:' would keep nothing in a file; use store=None")
    if "\x00" in path or not _can_be_a_file_name(path):
        raise ConfigurationError(f"store has characters that no file name can have; {advice}")


def check_text(
    value: object, name: str, *, longest: int | None = None, may_be_empty: bool = False
) -> str:
    """Return a text the database will take.

    Raises:
        ConfigurationError: Not a text, empty, too long, or with characters that cannot be stored.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a text, not {type(value).__name__}")
    if not (value.strip() or may_be_empty):
        raise ConfigurationError(f"{name} must be a text that is not empty")
    if longest is not None and len(value) > longest:
        raise ConfigurationError(f"{name} has {len(value)} characters; {longest} are allowed")
    if "\x00" in value:
        raise ConfigurationError(f"{name} must not contain NUL characters")
    if not _is_unicode(value):
        raise ConfigurationError(f"{name} must not contain halves of surrogate pairs")
    return value


def check_model(model: Any) -> None:
    """Refuse what cannot read a row or payload.

    Raises:
        ConfigurationError: Not a pydantic model class.
    """
    given = model  # as it is before the checker narrows it
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        name = given.__name__ if isinstance(given, type) else f"a {type(given).__name__}"
        raise ConfigurationError(f"A pydantic model class is needed, such as Job, not {name}")


def check_object(value: object, name: str) -> dict[str, Any]:
    """Return a copy of an object of JSON values.

    Raises:
        ConfigurationError: Not a dict, or something in it cannot be sent as JSON.
    """
    checked = as_object(value)
    if checked is None:
        raise ConfigurationError(f"{name} must be an object of JSON values")
    try:
        text = json.dumps(checked, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name} must hold JSON values only: {error}") from error
    if not _is_unicode(text):
        raise ConfigurationError(f"{name} must not contain halves of surrogate pairs")
    return dict(checked)


def _kind_of(value: object) -> str:
    return "None" if value is None else type(value).__name__


def _can_be_a_file_name(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
