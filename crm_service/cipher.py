"""Encrypt and decrypt single values with authenticated encryption; pure apart from randomness.

A value is ``v1.<key id>.<base64url(nonce + AES-256-GCM)>``. What it belongs to (table, row,
column) is authenticated with it, so a value copied to another customer does not open.
"""

import base64
import binascii
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crm_service.errors import EncryptionUnavailableError, SecretUnreadableError

_FORMAT = "v1"
# NIST SP 800-38D: 96 bit, drawn anew for each value; fit for 2^32 values of one key.
_NONCE_BYTES = 12
# So that the length of a value does not tell a gate code from a sentence.
_BLOCK_BYTES = 32
_PAD_START = b"\x80"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of the service by their ids; the current one encrypts, all of them decrypt.

    Attributes:
        current: Id of the key for new values; None if there is none.
        keys: 32 bytes each.
    """

    current: str | None
    keys: Mapping[str, bytes]

    def encrypt(self, text: str, *, of: str) -> str:
        """Encrypt a value.

        Args:
            text: Plain text.
            of: What it belongs to; see ``place``.

        Raises:
            EncryptionUnavailableError: No key is configured.
        """
        key_id = self.require_current()
        nonce = os.urandom(_NONCE_BYTES)
        padded = text.encode() + _PAD_START
        padded += bytes(-len(padded) % _BLOCK_BYTES)
        sealed = AESGCM(self.keys[key_id]).encrypt(nonce, padded, of.encode())
        return f"{_FORMAT}.{key_id}.{_to_text(nonce + sealed)}"

    def decrypt(self, value: str, *, of: str) -> str:
        """Decrypt a value.

        Raises:
            EncryptionUnavailableError: No key is configured, or not the one of this value.
            SecretUnreadableError: The value was changed, or belongs to something else.
        """
        self.require_current()
        parts = value.split(".")
        if len(parts) != 3 or parts[0] != _FORMAT:
            raise _unreadable()
        key = self.keys.get(parts[1])
        if key is None:
            raise EncryptionUnavailableError(
                f"The value is encrypted with the key '{parts[1]}', which is not among "
                "CRM_FIELD_KEYS. Add it there again until everything is re-encrypted."
            )
        try:
            sealed = base64.urlsafe_b64decode(parts[2] + "=" * (-len(parts[2]) % 4))
            padded = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], of.encode())
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise _unreadable() from error
        return padded[: padded.rindex(_PAD_START)].decode()

    def blind(self, fingerprint: str) -> str:
        """Key a digest, so that a short plain text cannot be guessed from it."""
        key = self.keys[self.require_current()]
        return hmac.new(key, f"fingerprint|{fingerprint}".encode(), "sha256").hexdigest()

    def require_current(self) -> str:
        """Return the id of the current key.

        Raises:
            EncryptionUnavailableError: No key is configured.
        """
        if self.current is None:
            raise EncryptionUnavailableError(
                "The service has no key for sensitive fields, so it neither keeps nor shows any. "
                "Set CRM_FIELD_KEYS (docs/howto/crm-service.md)."
            )
        return self.current


def place(customer_id: UUID, name: str) -> str:
    """Name what a value belongs to: table, primary key, column."""
    return f"customer_secrets|{customer_id}/{name}|value"


def _to_text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _unreadable() -> SecretUnreadableError:
    return SecretUnreadableError(
        "The stored value does not open: it was changed, or moved here from elsewhere. "
        "Write it anew."
    )
