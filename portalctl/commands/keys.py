"""`portalctl keys list|rotate|revoke`: the signing keys of a local stack."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from portalctl import console
from portalctl.commands.stack import DataOption, JsonOption, data_folder, stack_errors

if TYPE_CHECKING:
    from local_stack.keys import SigningKey


def register(app: typer.Typer) -> None:
    """Mount the commands."""
    group = typer.Typer(help="The keys that sign sessions.", no_args_is_help=True)
    group.command("list")(list_keys)
    group.command("rotate")(rotate)
    group.command("revoke")(revoke)
    app.add_typer(group, name="keys")


def list_keys(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Print the signing keys of the data folder, oldest first."""
    from local_stack import key_rotation  # noqa: PLC0415 - see commands/__init__

    with stack_errors():
        found = key_rotation.signing_keys(data_folder(data))
    _print(found, as_json=as_json)


def rotate(*, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Let the standby key sign from now on, and make a new standby key.

    Sessions go on: tokens of the key before stay good until they expire. A running stack follows
    at once.
    """
    from local_stack import key_rotation  # noqa: PLC0415 - see commands/__init__

    folder = data_folder(data)
    with stack_errors():
        key_rotation.rotate(folder)
    _finish(folder, as_json=as_json)


def revoke(
    kid: Annotated[str, typer.Argument(help="Id of a key, as `keys list` shows it.")],
    *,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse every token that a key has signed; a key in use has to be rotated first."""
    from local_stack import key_rotation  # noqa: PLC0415 - see commands/__init__

    folder = data_folder(data)
    with stack_errors():
        key_rotation.revoke(folder, kid)
    _finish(folder, as_json=as_json)


def _finish(folder: Path, *, as_json: bool) -> None:
    from local_stack import key_rotation  # noqa: PLC0415 - see commands/__init__

    with stack_errors():
        is_running = key_rotation.wait_until_followed(folder)
        found = key_rotation.signing_keys(folder)
    _print(found, as_json=as_json)
    word = "The running stack uses them." if is_running else "The next `portalctl up` uses them."
    console.stderr().print(word, style="dim")


def _print(keys: tuple[SigningKey, ...], *, as_json: bool) -> None:
    facts = [
        {"kid": key.kid, "state": key.state, "created_at": _moment(key.created_at_s)}
        for key in keys
    ]
    if as_json:
        console.write_json({"signing_keys": facts})
        return
    out = console.stdout()
    for fact in facts:
        line = f"{fact['kid']}  {fact['state'].replace('_', ' '):<15}  {fact['created_at']}"
        out.out(line, highlight=False)


def _moment(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat()
