"""Sensitive values: what is stored, and what opens it."""

import base64
import os
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from crm_service.cipher import KeyRing, place
from crm_service.errors import EncryptionUnavailableError, SecretUnreadableError
from tests.support.crm import make_settings

OLD, NEW = (bytes(range(start, start + 32)) for start in (1, 101))
RING = KeyRing("new", {"new": NEW, "old": OLD})
ADA = place(UUID(int=1), "gate_code")


@given(st.text(max_size=200))
def test_a_value_opens_where_it_belongs_and_nowhere_else(text):
    """Another customer, another name or another key do not open it."""
    value = RING.encrypt(text, of=ADA)
    assert RING.decrypt(value, of=ADA) == text
    for elsewhere in (place(UUID(int=2), "gate_code"), place(UUID(int=1), "alarm_code")):
        with pytest.raises(SecretUnreadableError):
            RING.decrypt(value, of=elsewhere)
    with pytest.raises(SecretUnreadableError):
        KeyRing("new", {"new": OLD}).decrypt(value, of=ADA)


def test_any_changed_bit_is_noticed():
    """Authenticated: nobody alters a value unseen."""
    head, _, sealed = RING.encrypt("4711", of=ADA).rpartition(".")
    content = base64.urlsafe_b64decode(sealed + "==")
    for position in range(len(content) * 8):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        with pytest.raises(SecretUnreadableError):
            RING.decrypt(f"{head}.{base64.urlsafe_b64encode(changed).decode()}", of=ADA)
    for broken in ("", "v1.new", "v2.new.AAAA", "v1.new.A", f"{head}.{sealed[:-8]}"):
        with pytest.raises(SecretUnreadableError):
            RING.decrypt(broken, of=ADA)


def test_equal_values_and_short_values_look_alike():
    """A nonce of its own for each, and no length to tell a code from a sentence."""
    values = [RING.encrypt(text, of=ADA) for text in ("4711", "4711", "", "a" * 31)]
    assert len(set(values)) == 4
    assert len({len(value) for value in values}) == 1
    assert all(value.startswith("v1.new.") for value in values)


def test_an_old_key_reads_until_it_is_taken_away():
    """Rotation: the first key writes, all of them read."""
    value = KeyRing("old", {"old": OLD}).encrypt("4711", of=ADA)
    assert RING.decrypt(value, of=ADA) == "4711"
    with pytest.raises(EncryptionUnavailableError, match="'old'"):
        KeyRing("new", {"new": NEW}).decrypt(value, of=ADA)
    for call in (lambda: KeyRing(None, {}).encrypt("x", of=ADA), KeyRing(None, {}).require_current):
        with pytest.raises(EncryptionUnavailableError, match="CRM_FIELD_KEYS"):
            call()


def test_the_settings_name_what_is_wrong_with_a_key_and_not_the_key():
    """Ids, base64, length, chance, doubles."""
    good = base64.b64encode(os.urandom(32)).decode()
    ring = make_settings(field_keys=f"2026-11:{good}, 2025:{good}").key_ring
    assert (ring.current, list(ring.keys)) == ("2026-11", ["2026-11", "2025"])
    assert make_settings().key_ring.current is None
    for wrong, reason in {
        good: "id:base64",
        f"a:{good},a:{good}": "two keys",
        "a:§": "not base64",
        f"a:{good[:20]}": "32 random bytes",
        "a:" + base64.b64encode(b"p" * 32).decode(): "32 random bytes",
    }.items():
        with pytest.raises(ValidationError, match=reason) as caught:
            make_settings(field_keys=wrong)
        assert good not in str(caught.value)
    assert good not in repr(make_settings(field_keys=f"a:{good}"))
