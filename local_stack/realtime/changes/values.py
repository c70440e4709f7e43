"""Values of a change as the JSON that subscribers receive. Pure.

The stream carries PostgreSQL's text form, written with UTC, ISO dates and hex bytes. Common types
are turned into JSON here; for the others the database is asked (``encode`` returns None).
"""

from __future__ import annotations

import re
from decimal import Decimal

from local_stack.realtime.wire import dump_json

BOOL, BYTEA, INT8, INT2, INT4, TEXT, OID, JSON = 16, 17, 20, 21, 23, 25, 26, 114
FLOAT4, FLOAT8, VARCHAR, DATE, TIMESTAMP, TIMESTAMPTZ = 700, 701, 1043, 1082, 1114, 1184
NUMERIC, UUID, JSONB, NAME = 1700, 2950, 3802, 19

_INTEGERS = frozenset({INT2, INT4, INT8})
_PLAIN_TEXT = frozenset({TEXT, VARCHAR, UUID, NAME, DATE})
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_TIMESTAMP = re.compile(r"(\d{4,}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?)(?:\+00)?")


def encode(type_oid: int, text: str) -> str | None:
    """Return JSON text for a value, or None when only the database can tell."""
    if type_oid in _INTEGERS:
        return text
    if type_oid in _PLAIN_TEXT:
        return dump_json(text)
    encoder = _ENCODERS.get(type_oid)
    return None if encoder is None else encoder(text)


def _encode_bool(text: str) -> str:
    return "true" if text == "t" else "false"


def _encode_number(text: str) -> str:
    # NaN and the infinities have no JSON form; Supabase sends null.
    if not _JSON_NUMBER.fullmatch(text):
        return "null"
    # jsonb, which Supabase goes through, writes every number in full.
    return format(Decimal(text), "f") if "e" in text else text


def _encode_json(text: str) -> str:
    return text


def _encode_bytes(text: str) -> str:
    return dump_json(text.removeprefix("\\x"))


def _encode_timestamptz(text: str) -> str | None:
    match = _TIMESTAMP.fullmatch(text)
    return f'"{match[1]}T{match[2]}+00:00"' if match else None


def _encode_timestamp(text: str) -> str | None:
    match = _TIMESTAMP.fullmatch(text)
    return f'"{match[1]}T{match[2]}"' if match else None


_ENCODERS = {
    BOOL: _encode_bool,
    BYTEA: _encode_bytes,
    OID: dump_json,
    JSON: _encode_json,
    JSONB: _encode_json,
    FLOAT4: _encode_number,
    FLOAT8: _encode_number,
    NUMERIC: _encode_number,
    TIMESTAMPTZ: _encode_timestamptz,
    TIMESTAMP: _encode_timestamp,
}


def condition_shortcut(type_oid: int, operator: str, text: str, wanted: str) -> bool | None:
    """Return whether ``text operator wanted`` holds, None when only the database can tell.

    Covers equality on types whose text form is unique; null is the caller's affair.
    """
    if operator not in ("eq", "neq"):
        return None
    if type_oid in (TEXT, VARCHAR):
        equal = text == wanted
    elif type_oid == UUID and len(wanted) == len(text):
        equal = text == wanted.lower()
    elif type_oid in _INTEGERS and re.fullmatch(r"[+-]?\d{1,19}", wanted):
        equal = int(text) == int(wanted)
    else:
        return None
    return equal if operator == "eq" else not equal
