"""The key file and the rotation of signing keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local_stack.keys import KeyFileError, KeysError, KeyStateError, ProjectKeys


def states_of(keys: ProjectKeys) -> list[str]:
    return [key.state for key in keys.signing_keys]


def test_saved_keys_come_back_whole_and_private(tmp_path: Path) -> None:
    """A saved file has mode 0600 and loads into the same keys."""
    keys = ProjectKeys.generate()
    keys.rotate()
    path = tmp_path / "keys.json"
    keys.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = ProjectKeys.load(path)
    for name in ("publishable", "secret", "anon", "service_role", "jwt_secret", "signing_keys"):
        assert getattr(loaded, name) == getattr(keys, name)
    assert list(tmp_path.iterdir()) == [path]


def test_saving_again_replaces_a_readable_file(tmp_path: Path) -> None:
    """A file that others could read is replaced by one that they cannot."""
    path = tmp_path / "keys.json"
    path.write_text("old")
    path.chmod(0o644)
    ProjectKeys.generate().save(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 99}', "\x00", '"text"']
)
def test_a_damaged_file_is_refused_with_advice(tmp_path: Path, content: str) -> None:
    """One clear error names the file and says what to do."""
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(KeyFileError, match="Restore it from a backup") as refused:
        ProjectKeys.load(path)
    assert str(path) in str(refused.value)


def test_a_missing_file_and_folder_are_refused(tmp_path: Path) -> None:
    """Loading nothing and saving into nowhere are KeyFileErrors too."""
    with pytest.raises(KeyFileError):
        ProjectKeys.load(tmp_path / "none.json")
    with pytest.raises(KeyFileError):
        ProjectKeys.generate().save(tmp_path / "none" / "keys.json")


def test_a_pair_that_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    """A key whose halves were mixed up does not load, and the message holds no secret."""
    path = tmp_path / "keys.json"
    keys = ProjectKeys.generate()
    keys.save(path)
    document = json.loads(path.read_text())
    first, second = document["signing_keys"]
    first["x"], first["y"] = second["x"], second["y"]
    path.write_text(json.dumps(document))
    with pytest.raises(KeyFileError) as refused:
        ProjectKeys.load(path)
    assert not [secret for secret in (keys.secret, first["d"]) if secret in str(refused.value)]


def test_two_projects_share_nothing() -> None:
    """Every key is random."""
    one, other = ProjectKeys.generate(), ProjectKeys.generate()
    for name in ("publishable", "secret", "anon", "service_role", "jwt_secret"):
        assert getattr(one, name) != getattr(other, name)
    assert one.publishable.startswith("sb_publishable_")
    assert one.secret.startswith("sb_secret_")


def test_rotation_walks_through_the_states() -> None:
    """Standby becomes in use, in use becomes previously used, and a new standby appears."""
    keys = ProjectKeys.generate()
    assert states_of(keys) == ["in_use", "standby"]
    first, second = keys.signing_keys
    assert keys.rotate().kid == second.kid
    assert states_of(keys) == ["previously_used", "in_use", "standby"]
    keys.revoke(first.kid)
    assert states_of(keys) == ["revoked", "in_use", "standby"]
    published = [jwk["kid"] for jwk in keys.jwks()["keys"]]
    assert published == [key.kid for key in keys.signing_keys[1:]]


def test_rotation_without_a_standby_key_makes_one() -> None:
    """A revoked standby key is replaced in the next rotation."""
    keys = ProjectKeys.generate()
    keys.revoke(keys.signing_keys[1].kid)
    fresh = keys.rotate()
    assert keys.current is not None
    assert keys.current.kid == fresh.kid
    assert states_of(keys) == ["previously_used", "revoked", "in_use", "standby"]


def test_the_key_in_use_cannot_be_revoked() -> None:
    """Revoking what signs, or what does not exist, is refused."""
    keys = ProjectKeys.generate()
    current = keys.current
    assert current is not None
    with pytest.raises(KeyStateError, match=r"is in use.*keys rotate"):
        keys.revoke(current.kid)
    with pytest.raises(KeyStateError, match="no signing key"):
        keys.revoke("nobody")


def test_the_published_set_holds_no_private_part() -> None:
    """The JWKS can be shown to anyone."""
    keys = ProjectKeys.generate()
    text = json.dumps(keys.jwks())
    private = [key.d for key in keys.signing_keys] + [keys.jwt_secret, keys.secret]
    assert not [secret for secret in private if secret in text]
    assert all({"kty", "crv", "x", "y", "kid", "alg", "use"} <= set(k) for k in keys.jwks()["keys"])


def test_short_secrets_are_refused() -> None:
    """HS256 needs a secret of at least 32 characters."""
    with pytest.raises(KeysError, match="32"):
        ProjectKeys.generate(jwt_secret="short")


def test_keys_do_not_show_in_repr() -> None:
    """Printing the keys object leaks nothing."""
    keys = ProjectKeys.generate()
    assert keys.secret not in repr(keys)
    assert keys.jwt_secret not in repr(keys)
