"""Pure parts of the stack: settings, plans, states, small parsers."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from local_stack.config import StackConfig
from local_stack.control import running_stack
from local_stack.errors import (
    DamagedDataError,
    FolderError,
    FolderInUseError,
    HostUnusableError,
    MigrationError,
    PortForbiddenError,
    PortTakenError,
    StackConfigError,
    StackNotRunningError,
)
from local_stack.faults import Faults
from local_stack.folder import StackState, make_folder, write_state
from local_stack.listener import bind_port
from local_stack.ports import is_free, reachable_host
from local_stack.postgres.cluster import Cluster, ClusterConfig
from local_stack.postgres.data import DataFolder, DataState
from local_stack.postgres.leftover import PidFile, parse_pid_file
from local_stack.postgres.migrate import Migration, plan_migrations, read_migrations
from local_stack.stack import LocalStack


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_port": -1}, "api_port must be between"),
        ({"database_port": 70_000}, "database_port must be between"),
        ({"api_port": 5000, "database_port": 5000}, "must differ"),
        ({"project_dir": Path("/no/such/folder")}, "does not exist"),
        ({"host": "example.com"}, "host must be an IPv4 or IPv6 address"),
        ({"host": ""}, "host must be an IPv4 or IPv6 address"),
        ({"log_level": "loud"}, "log_level must be one of"),
        ({"log_format": "xml"}, "log_format must be one of text, json"),
        ({"postgres_major": 17}, "postgres_major must be one of 16, 18"),
        ({"database_url": "postgresql://me:pw@host/db"}, "cannot use a PostgreSQL server of yours"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, object], message: str) -> None:
    """Before anything is started, with the name of the setting."""
    with pytest.raises(StackConfigError, match=message):
        StackConfig(**settings)


@pytest.mark.parametrize(
    ("host", "reached_at"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("127.8.9.10", "127.8.9.10"),
        ("::1", "[::1]"),
    ],
)
def test_addresses_of_loopback_are_nothing_to_warn_of(host: str, reached_at: str) -> None:
    """The whole of 127.0.0.0/8 and ::1 stay on this machine."""
    config = StackConfig(host=host)
    assert config.exposure is None
    assert reachable_host(config.host) == reached_at


@pytest.mark.parametrize(
    ("host", "reached_at"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "[::1]"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8::7", "[2001:db8::7]"),
    ],
)
def test_any_other_address_is_warned_of(host: str, reached_at: str) -> None:
    """The warning names the address; this machine itself gets an address that it can reach."""
    config = StackConfig(host=host)
    assert config.exposure is not None
    assert f"LISTENS ON {host}" in config.exposure
    assert "no TLS" in config.exposure
    assert reachable_host(config.host) == reached_at


@pytest.mark.parametrize(("port", "strict"), [(0, True), (54321, True), (54321, False)])
def test_an_address_of_another_machine_cannot_be_listened_on(port: int, *, strict: bool) -> None:
    """192.0.2.0/24 is nobody's; no port of it is called taken."""
    with pytest.raises(HostUnusableError, match=r"no address 192\.0\.2\.7"):
        bind_port(port, strict=strict, host="192.0.2.7")


def test_a_port_that_this_user_may_not_take_is_not_called_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The kernel's words for it are those of an ordinary user's process on a low port."""

    def refuse(*_arguments: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(PortForbiddenError, match="may not listen on port 80"):
        bind_port(80, strict=True)
    with pytest.raises(PortForbiddenError, match="may not listen on port 81"):
        is_free(81)


def test_a_port_is_taken_on_its_address_alone() -> None:
    """Another loopback address has ports of its own."""
    with bind_port(0, strict=True, host="127.0.0.2") as first:
        host, port = first.getsockname()
        assert host == "127.0.0.2"
        with pytest.raises(PortTakenError):
            bind_port(port, strict=True, host="127.0.0.2")
        with bind_port(port, strict=False, host="127.0.0.2") as second:
            assert second.getsockname()[1] != port
        bind_port(port, strict=True, host="127.0.0.3").close()


def test_only_an_ephemeral_stack_gives_up_durability() -> None:
    """Unless it is asked for by name."""
    assert not StackConfig().durable
    assert StackConfig(data_dir=Path("x")).durable
    assert StackConfig(fsync=True).durable


def test_a_password_is_quoted_in_the_url_and_absent_from_the_repr(tmp_path: Path) -> None:
    """Any character may be in a password; none is shown by accident."""
    config = ClusterConfig(tmp_path, "p/w:@ü")
    assert Cluster(config).admin_dsn() == (
        "postgresql://supabase_admin:p%2Fw%3A%40%C3%BC@127.0.0.1:0/postgres"
    )
    assert "p/w" not in repr(config)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("x\n", None),
        ("4242\n/data\n1700000000\n5432\n\n127.0.0.1\n", PidFile(4242, 5432)),
        ("-4242\n/data\n", PidFile(4242, None)),
        ("1\n/data\n1\n5432\n", None),
    ],
)
def test_pid_files_are_read_even_when_cut_off(text: str, expected: PidFile | None) -> None:
    """A file that was being written is no reason to fail, and pid 1 is never a server."""
    assert parse_pid_file(text) == expected


def test_the_marker_tells_half_written_from_damaged(tmp_path: Path) -> None:
    """Without the marker a folder may be replaced; with it, it is refused."""
    folder = DataFolder(tmp_path)
    assert folder.inspect("18") is DataState.ABSENT
    folder.data.mkdir()
    assert folder.inspect("18") is DataState.ABSENT
    (folder.data / "PG_VERSION").write_text("18\n")
    assert folder.inspect("18") is DataState.HALF_WRITTEN
    folder.mark_complete("18.4")
    with pytest.raises(DamagedDataError):
        folder.inspect("18")


def migration(version: str, sql: str = "select 1") -> Migration:
    return Migration(version, "m", f"{version}_m.sql", sql)


def test_a_plan_says_what_differs() -> None:
    """Pending, applied, older, edited and unknown migrations are told apart."""
    plan = plan_migrations(
        [migration("1"), migration("2"), migration("3"), migration("4", "select 4")],
        {"2": ["select 1"], "3": None, "4": ["select 5"], "9": []},
    )
    assert [m.version for m in plan.pending] == ["1"]
    assert plan.applied == ("2", "3", "4")
    assert plan.out_of_order == ("1_m.sql",)
    assert plan.edited == ("4_m.sql",)
    assert plan.unknown == ("9",)


@pytest.mark.parametrize("name", ["1_short.sql", "20260101000000.sql", "20260101000000_ä.sql"])
def test_a_badly_named_migration_is_refused(tmp_path: Path, name: str) -> None:
    """The error shows how it should be named."""
    (tmp_path / name).write_text("select 1")
    with pytest.raises(MigrationError, match="YYYYMMDDHHMMSS"):
        read_migrations(tmp_path)


def test_two_migrations_of_one_version_are_refused(tmp_path: Path) -> None:
    """Their order would be an accident."""
    for name in ("a", "b"):
        (tmp_path / f"20260101000000_{name}.sql").write_text("select 1")
    with pytest.raises(MigrationError, match="same version"):
        read_migrations(tmp_path)


@pytest.mark.parametrize("below", ["x", "x/y"])
def test_a_file_where_a_folder_must_be_is_named(tmp_path: Path, below: str) -> None:
    """Not as Python says it: "File exists"."""
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=f"{tmp_path / 'file'} is a file"):
        make_folder(tmp_path / "file" / below)


def test_a_folder_in_use_names_who_uses_it() -> None:
    """Also while that stack is still starting."""
    starting = FolderInUseError(Path("x"), pid=7, api_port=None, database_port=None)
    assert "process 7 (still starting)" in str(starting)
    running = FolderInUseError(Path("x"), pid=7, api_port=1, database_port=2)
    assert "API on port 1, PostgreSQL on port 2" in str(running)


async def test_what_a_killed_stack_left_is_not_taken_for_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process id may be anybody's by now, and `portalctl stop` would end that."""
    write_state(tmp_path, StackState(4711, 54321, 54322, "2026-11-28T12:00:00+00:00", "0.1.0"))
    seen: list[object] = []

    def look(*_arguments: object, **_options: object) -> None:
        with pytest.raises(StackNotRunningError):
            running_stack(tmp_path)
        seen.append(tmp_path)
        raise PortTakenError(54321, "the API")

    monkeypatch.setattr("local_stack.stack.bind_port", look)
    with pytest.raises(PortTakenError):
        await LocalStack(StackConfig(data_dir=tmp_path)).__aenter__()
    assert seen == [tmp_path]


def test_reset_switches_every_fault_off() -> None:
    """And keeps the way sockets are cut."""
    cuts: list[int] = []
    faults = Faults()
    faults.bind_drop(lambda: cuts.append(1))
    faults.hang = faults.lose_doorbells = faults.http_hang = True
    faults.refuse_connects, faults.refuse_joins, faults.http_refuse = 500, "no", 503
    faults.reply_delay_s = faults.http_delay_s = 1.0
    faults.reset()
    faults.drop_sockets()
    assert faults == Faults(_drop=faults._drop)
    assert cuts == [1]
