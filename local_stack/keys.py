"""Keys of one project: API keys, the legacy JWT secret and ES256 signing keys.

The owner of the data folder makes them once and keeps them in one file of mode 0600; everything
else only reads. Verification and signing of tokens live in ``local_stack.auth.tokens``.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from local_stack.errors import StackError

KeyState = Literal["standby", "in_use", "previously_used", "revoked"]

_FILE_FORMAT = 1
_LEGACY_KEY_LIFETIME_S = 10 * 365 * 24 * 3600
_MIN_SECRET_CHARS = 32
_TEXT_FIELDS = ("publishable", "secret", "anon", "service_role", "jwt_secret")


class KeysError(StackError):
    """Root of what can go wrong with a project's keys."""


class KeyFileError(KeysError):
    """The key file is missing, unreadable or damaged."""

    def __init__(self, path: Path, reason: str) -> None:
        """Describe the problem; ``reason`` never holds key material."""
        self.path = path
        self.reason = reason
        super().__init__(
            f"cannot use the key file {path}: {reason}. Restore it from a backup, or remove it to "
            "get new keys (every session and every key handed out so far then stops working)"
        )


class KeyStateError(KeysError, ValueError):
    """A rotation step that the key's present state does not allow."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One ES256 key pair with its place in the rotation.

    A standby key is published but does not sign yet; exactly one key is in use; previously used
    keys still verify; revoked keys do nothing and are not published.
    """

    kid: str
    state: KeyState
    x: str
    y: str
    d: str
    created_at_s: int

    @classmethod
    def generate(cls, state: KeyState, now_s: int) -> SigningKey:
        """Make a new P-256 key pair whose ``kid`` is a random uuid."""
        numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()
        return cls(
            kid=str(uuid4()),
            state=state,
            x=_coordinate(numbers.public_numbers.x),
            y=_coordinate(numbers.public_numbers.y),
            d=_coordinate(numbers.private_value),
            created_at_s=now_s,
        )

    @property
    def verifies(self) -> bool:
        """True while tokens signed with this key are accepted."""
        return self.state != "revoked"

    def public_jwk(self) -> dict[str, Any]:
        """Return the public half as a JWK, as the JWKS endpoint shows it."""
        return {
            "alg": "ES256",
            "crv": "P-256",
            "ext": True,
            "key_ops": ["verify"],
            "kid": self.kid,
            "kty": "EC",
            "use": "sig",
            "x": self.x,
            "y": self.y,
        }

    def private_key(self) -> ec.EllipticCurvePrivateKey:
        """Return the private key object that signs."""
        public = ec.EllipticCurvePublicNumbers(_integer(self.x), _integer(self.y), ec.SECP256R1())
        return ec.EllipticCurvePrivateNumbers(_integer(self.d), public).private_key()


class ProjectKeys:
    """All keys of one project.

    The text attributes never change. ``signing_keys`` is a tuple that every rotation step replaces
    as a whole, so readers on other threads see either the old or the new set, and may use its
    identity to notice a change. Call ``save`` after a rotation step to keep it.

    Attributes:
        publishable: ``sb_publishable_…``, stands for role anon.
        secret: ``sb_secret_…``, stands for role service_role.
        anon: legacy HS256 JWT with role anon and a far ``exp``.
        service_role: legacy HS256 JWT with role service_role and a far ``exp``.
        jwt_secret: secret of HS256 tokens, at least 32 characters.
        signing_keys: ES256 keys in the order they were made.
        trusted_jwks: further public or ``oct`` JWKs whose tokens are accepted (another issuer's).
    """

    publishable: str
    secret: str
    anon: str
    service_role: str
    jwt_secret: str
    signing_keys: tuple[SigningKey, ...]
    trusted_jwks: tuple[Mapping[str, Any], ...]

    def __init__(
        self,
        *,
        publishable: str,
        secret: str,
        anon: str,
        service_role: str,
        jwt_secret: str,
        signing_keys: tuple[SigningKey, ...],
        trusted_jwks: tuple[Mapping[str, Any], ...] = (),
    ) -> None:
        if len(jwt_secret) < _MIN_SECRET_CHARS:
            raise KeysError(f"jwt_secret must have at least {_MIN_SECRET_CHARS} characters")
        if sum(key.state == "in_use" for key in signing_keys) > 1:
            raise KeysError("more than one signing key is in use")
        self.publishable = publishable
        self.secret = secret
        self.anon = anon
        self.service_role = service_role
        self.jwt_secret = jwt_secret
        self.signing_keys = signing_keys
        self.trusted_jwks = trusted_jwks

    def __repr__(self) -> str:
        """Show key ids and states only; never key material."""
        states = ", ".join(f"{key.kid}: {key.state}" for key in self.signing_keys)
        return f"ProjectKeys({states})"

    @classmethod
    def generate(cls, *, now_s: int | None = None, jwt_secret: str | None = None) -> ProjectKeys:
        """Make random keys: one signing key in use and one on standby.

        Args:
            now_s: Unix time in seconds that goes into the keys; None is the clock's.
            jwt_secret: use this secret for HS256 tokens instead of a random one.
        """
        issued_s = int(time.time()) if now_s is None else now_s
        shared = secrets.token_urlsafe(48) if jwt_secret is None else jwt_secret
        if len(shared) < _MIN_SECRET_CHARS:
            raise KeysError(f"jwt_secret must have at least {_MIN_SECRET_CHARS} characters")
        return cls(
            publishable=_api_key("sb_publishable_"),
            secret=_api_key("sb_secret_"),
            anon=_legacy_key("anon", shared, issued_s),
            service_role=_legacy_key("service_role", shared, issued_s),
            jwt_secret=shared,
            signing_keys=(
                SigningKey.generate("in_use", issued_s),
                SigningKey.generate("standby", issued_s),
            ),
        )

    @classmethod
    def load(cls, path: Path) -> ProjectKeys:
        """Read the keys that ``save`` wrote.

        Raises:
            KeyFileError: the file is missing, unreadable or not a complete key file.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise KeyFileError(path, error.strerror or type(error).__name__) from error
        except ValueError as error:
            raise KeyFileError(path, "it is not JSON") from error
        try:
            return cls._from_document(document)
        except (KeysError, LookupError, TypeError, ValueError) as error:
            raise KeyFileError(path, f"it is incomplete or damaged ({error})") from error

    def save(self, path: Path) -> None:
        """Write the keys to ``path`` with mode 0600, all of them or none (atomic replace).

        Raises:
            KeyFileError: the folder cannot be written.
        """
        text = json.dumps(self._to_document(), indent=2) + "\n"
        try:
            _replace_private_file(path, text)
        except OSError as error:
            raise KeyFileError(path, error.strerror or type(error).__name__) from error

    @property
    def current(self) -> SigningKey | None:
        """The key that signs new tokens; None when the legacy secret signs."""
        return next((key for key in self.signing_keys if key.state == "in_use"), None)

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return the public key set: every key of this project that still verifies, or will."""
        return {"keys": [key.public_jwk() for key in self.signing_keys if key.verifies]}

    def verification_jwks(self) -> list[dict[str, Any]]:
        """Return every JWK that a token may be verified with, trusted foreign ones included."""
        return [*self.jwks()["keys"], *(dict(jwk) for jwk in self.trusted_jwks)]

    def rotate(self, *, now_s: int | None = None) -> SigningKey:
        """Let the standby key sign from now on, and make a new standby key.

        The key that signed so far becomes ``previously_used``: its tokens stay good until they
        expire.

        Returns:
            The key that is in use now.
        """
        issued_s = int(time.time()) if now_s is None else now_s
        incoming = next((key for key in self.signing_keys if key.state == "standby"), None)
        keys = self.signing_keys
        if incoming is None:
            incoming = SigningKey.generate("standby", issued_s)
            keys = (*keys, incoming)
        kid = incoming.kid
        rotated = tuple(_rotated(key, kid) for key in keys)
        self.signing_keys = (*rotated, SigningKey.generate("standby", issued_s))
        return replace(incoming, state="in_use")

    def adopt(self, other: ProjectKeys) -> bool:
        """Take over signing keys and trusted keys of another set; tell whether they differed."""
        new = (other.signing_keys, other.trusted_jwks)
        if new == (self.signing_keys, self.trusted_jwks):
            return False
        self.signing_keys, self.trusted_jwks = new
        return True

    def revoke(self, kid: str) -> None:
        """Stop accepting tokens signed with the key ``kid``.

        Raises:
            KeyStateError: there is no such key, or it is in use (rotate first).
        """
        key = next((key for key in self.signing_keys if key.kid == kid), None)
        if key is None:
            raise KeyStateError(
                f"There is no signing key with id {kid}. `portalctl keys list` shows their ids."
            )
        if key.state == "in_use":
            raise KeyStateError(
                f"Signing key {kid} is in use. Let another sign first: `portalctl keys rotate`."
            )
        self.signing_keys = tuple(
            replace(key, state="revoked") if key.kid == kid else key for key in self.signing_keys
        )

    def _to_document(self) -> dict[str, Any]:
        texts = {name: getattr(self, name) for name in _TEXT_FIELDS}
        keys = [
            {
                "kid": key.kid,
                "state": key.state,
                "x": key.x,
                "y": key.y,
                "d": key.d,
                "created_at_s": key.created_at_s,
            }
            for key in self.signing_keys
        ]
        trusted = [dict(jwk) for jwk in self.trusted_jwks]
        return {"format": _FILE_FORMAT, **texts, "signing_keys": keys, "trusted_jwks": trusted}

    @classmethod
    def _from_document(cls, document: Any) -> ProjectKeys:
        if not isinstance(document, dict) or document.get("format") != _FILE_FORMAT:
            raise KeysError(f"expected format {_FILE_FORMAT}")
        texts = {name: _text(document, name) for name in _TEXT_FIELDS}
        return cls(
            signing_keys=tuple(_parse_signing_key(entry) for entry in document["signing_keys"]),
            trusted_jwks=tuple(dict(jwk) for jwk in document.get("trusted_jwks", [])),
            **texts,
        )


def _rotated(key: SigningKey, incoming_kid: str) -> SigningKey:
    if key.kid == incoming_kid:
        return replace(key, state="in_use")
    if key.state == "in_use":
        return replace(key, state="previously_used")
    return key


def _parse_signing_key(entry: dict[str, Any]) -> SigningKey:
    state = _text(entry, "state")
    if state not in get_args(KeyState):
        raise KeysError("a signing key has an unknown state")
    key = SigningKey(
        kid=_text(entry, "kid"),
        state=cast("KeyState", state),
        x=_text(entry, "x"),
        y=_text(entry, "y"),
        d=_text(entry, "d"),
        created_at_s=int(entry["created_at_s"]),
    )
    key.private_key()  # refuses a pair that does not belong together
    return key


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document[name]
    if not isinstance(value, str) or not value:
        raise KeysError(f"{name} must be text")
    return value


def _api_key(prefix: str) -> str:
    """Return prefix, 22 random characters, and 8 characters that catch a mistyped key."""
    body = prefix + base64.urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
    checksum = base64.urlsafe_b64encode(hashlib.sha256(body.encode()).digest()[:6]).decode()
    return f"{body}_{checksum}"


def _legacy_key(role: str, jwt_secret: str, issued_s: int) -> str:
    claims = {
        "iss": "supabase",
        "ref": "local",
        "role": role,
        "iat": issued_s,
        "exp": issued_s + _LEGACY_KEY_LIFETIME_S,
    }
    return jwt.encode(claims, jwt_secret, algorithm="HS256")


def _coordinate(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(32, "big")).rstrip(b"=").decode()


def _integer(coordinate: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(coordinate + "=" * (-len(coordinate) % 4)))


def _replace_private_file(path: Path, text: str) -> None:
    # mkstemp creates the file with mode 0600, so the secrets are never readable by others.
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
