"""The wire to PostgREST against servers that answer byte by byte as told."""

import asyncio
import datetime as dt
import ssl
import traceback
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crm_service.wire import BrokenError, ConnectError, PooledWire
from tests.support.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PERSON = "ada@example.com"
OTHERS = OK.replace(b"ok", b"no")


class Server:
    """Answers each request with the next scripted bytes; None hangs, a trailing b"" hangs up."""

    def __init__(self, *script):
        self.script = list(script)
        self.requests = []
        self.connections = 0
        self.open = 0
        self.port = 0
        self.tasks = []

    async def serve(self, reader, writer):
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        self.connections += 1
        self.open += 1
        try:
            while head := await self._request(reader):
                self.requests.append(head)
                pieces = self.script.pop(0) if self.script else OK
                if pieces is None:
                    await reader.read()
                    return
                for piece in [pieces] if isinstance(pieces, bytes) else pieces:
                    if piece == b"":
                        return
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0.001)
        finally:
            self.open -= 1
            writer.close()

    async def _request(self, reader):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""
        lines = head.lower().split(b"\r\n")
        lengths = [int(line[15:]) for line in lines if line.startswith(b"content-length:")]
        return head + (await reader.readexactly(lengths[0]) if lengths else b"")


@asynccontextmanager
async def wire_to(*script, keepalive_s=4.0, scheme="http", server_tls=None, tls=None):
    server = Server(*script)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=server_tls)
    server.port = listening.sockets[0].getsockname()[1]
    wire = PooledWire(f"{scheme}://localhost:{server.port}", keepalive_s=keepalive_s, tls=tls)
    try:
        async with asyncio.timeout(20):
            yield wire, server
    finally:
        await wire.aclose()
        listening.close()
        await eventually(lambda: server.open == 0)
        await asyncio.gather(*server.tasks, return_exceptions=True)


def usable(wire):
    return [kept for kept in wire._idle if kept.is_usable]


async def get(wire, *, timeout_s=10.0, **headers):
    return await wire.exchange("GET", "/x?y=1", headers, None, timeout_s)


async def post(wire, content=b"{}", target="/x"):
    return await wire.exchange("POST", target, {"Content-Type": "x/y"}, content, 10.0)


async def test_an_answer_is_given_as_it_is_and_the_connection_kept():
    """A redirect is not followed, a cookie not sent back, an encoding not undone."""
    moved = (
        b"HTTP/1.1 302 Found\r\nLocation: /y\r\nSet-Cookie: a=b\r\nRetry-After: 7\r\n"
        b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no"
    )
    async with wire_to([moved, b"k\r\n0\r\n\r\n"], OK) as (wire, server):
        answer = await get(wire)
        assert (answer.status, answer.content) == (302, b"ok")
        assert answer.headers.get("retry-after") == "7"
        assert (await get(wire)).content == b"ok"
        assert server.connections == 1
        assert b"cookie" not in server.requests[1].lower()


async def test_what_is_sent():
    """The target to the letter, host with port, the headers given, the length of the body."""
    async with wire_to() as (wire, server):
        target = "/rest/v1/x?or=(a.eq.%22b%20c%22,d.is.null)&e=%2B%41%F0%9F%90%9D"
        headers = {"apikey": "k", "Content-Type": "x/y"}
        await wire.exchange("POST", target, headers, b'{"a":1}', 10.0)
        line, *sent, body = server.requests[0].replace(b"\r\n\r\n", b"\r\n").split(b"\r\n")
        assert line == f"POST {target} HTTP/1.1".encode()
        assert sorted(header.lower() for header in sent) == [
            b"apikey: k",
            b"content-length: 7",
            b"content-type: x/y",
            f"host: localhost:{server.port}".encode(),
        ]
        assert body == b'{"a":1}'


async def test_a_large_body_is_sent_whole():
    """Imports and bulk requests are some megabytes."""
    content = b"0123456789abcdef" * 160_000
    async with wire_to() as (wire, server):
        await post(wire, content)
        assert server.requests[0].endswith(b"\r\n\r\n" + content)
        assert f"content-length: {len(content)}".encode() in server.requests[0].lower()


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\nb", "a\rb"])
async def test_a_header_cannot_break_out_of_its_line(value):
    """Nothing is sent."""
    async with wire_to() as (wire, server):
        with pytest.raises(ValueError, match="line break"):
            await get(wire, name=value)
        assert (await get(wire)).content == b"ok"
        assert len(server.requests) == 1


@pytest.mark.parametrize("target", ["/x HTTP/1.1\r\nX: y\r\n\r\n", "/x\n", "/a b", "/ü", ""])
async def test_a_target_cannot_break_out_of_its_line(target):
    """It stands before the version: a space ends it, too."""
    async with wire_to() as (wire, server):
        with pytest.raises(ValueError, match="percent-encoded"):
            await wire.exchange("GET", target, {}, None, 1.0)
        assert server.requests == []


@pytest.mark.parametrize(
    "pieces",
    [
        [b""],
        [OK[:-1], b""],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b""],
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 12_000 + b"Content-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000,
    ],
    ids=["nothing", "half", "half chunked", "not HTTP", "two lengths", "many", "long", "endless"],
)
async def test_half_an_answer_is_none(pieces):
    """It is one error that quotes nothing; a write is not sent twice; the next request works."""
    async with wire_to(pieces, OK) as (wire, server):
        with pytest.raises(BrokenError) as caught:
            await post(wire, target=f"/x?email=eq.{PERSON}")
        assert PERSON not in "".join(traceback.format_exception(caught.value))
        assert len(server.requests) == 1
        assert (await get(wire)).content == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize(
    "pieces",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        [b"HTTP/1.1 200 OK\r\n\r\nok", b""],
        [OK, b""],
        OK + OTHERS.replace(b"\r\n", b"\r\nX-Second: y\r\n", 1),
    ],
    ids=["close", "no length", "closed while idle", "two answers"],
)
async def test_a_connection_in_doubt_is_not_used_again(pieces):
    """The server hangs up, or said more than was asked; nobody notices."""
    async with wire_to(pieces, OK) as (wire, server):
        answer = await get(wire)
        assert answer.content == b"ok"
        assert "x-second" not in answer.headers
        await eventually(lambda: not usable(wire))
        assert (await post(wire)).content == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize("late", [OTHERS, OTHERS[:-1]], ids=["whole", "half"])
async def test_nobody_gets_an_answer_that_came_unasked(late):
    """The next request takes another connection."""
    async with wire_to([OK, late], OK) as (wire, server):
        assert (await get(wire)).content == b"ok"
        await eventually(lambda: not usable(wire))
        assert (await post(wire)).content == b"ok"
        assert server.connections == 2


async def test_a_hint_before_the_answer_is_not_the_answer():
    """Such as 103; and answers without a body have one of no bytes."""
    hint = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    empty = b"HTTP/1.1 204 No Content\r\nX-Y: Z\r\n\r\n"
    async with wire_to(hint + OK, [hint, OK[:20], OK[20:]], empty, OK) as (wire, server):
        for _ in range(2):
            answer = await get(wire)
            assert answer.content == b"ok"
            assert answer.headers == {"content-length": "2"}
        answer = await get(wire)
        assert (answer.status, answer.content) == (204, b"")
        assert answer.headers == {"x-y": "Z"}
        assert (await get(wire)).content == b"ok"
        assert server.connections == 1


async def test_an_old_connection_is_not_used():
    """The server would be about to close it."""
    async with wire_to(keepalive_s=0.01) as (wire, server):
        await get(wire)
        await asyncio.sleep(0.05)
        await get(wire)
        assert server.connections == 2


@pytest.mark.parametrize("pieces", [None, [OK[:-1]]], ids=["silence", "half"])
@pytest.mark.parametrize("patient", [True, False])
async def test_who_gives_up_leaves_no_answer_behind(pieces, patient):
    """The connection goes with the wait."""
    async with wire_to(pieces, OK) as (wire, server):
        if patient:
            asking = asyncio.create_task(get(wire))
            await eventually(lambda: len(server.requests) == 1)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        else:
            with pytest.raises(TimeoutError):
                await get(wire, timeout_s=0.05)
        assert (await get(wire)).content == b"ok"
        assert server.connections == 2
        await eventually(lambda: server.open == 1)


async def test_each_answer_is_waited_for_as_long_as_its_request_says():
    """On one connection: longer than the request before it, or for less time."""
    async with wire_to(OK, None) as (wire, server):
        await get(wire, timeout_s=0.05)
        asking = asyncio.create_task(get(wire, timeout_s=10.0))
        await asyncio.sleep(0.2)
        assert not asking.done()
        assert server.connections == 1
        asking.cancel()
    async with wire_to(OK, None) as (wire, server):
        await get(wire, timeout_s=10.0)
        async with asyncio.timeout(5) as patience:
            with pytest.raises(TimeoutError):
                await get(wire, timeout_s=0.05)
        assert not patience.expired()
        assert server.connections == 1


async def test_nonsense_inside_a_body_ends_the_wait():
    """At once, not by the time-out."""
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
    async with wire_to([chunked, b"zz\r\n"], OK) as (wire, server):
        with pytest.raises(BrokenError):
            await get(wire)
        assert (await get(wire)).content == b"ok"
        assert server.connections == 2


async def test_nobody_listens():
    """Said as such: nothing was sent."""
    async with wire_to() as (_, server):
        port = server.port
    wire = PooledWire(f"http://127.0.0.1:{port}", keepalive_s=1, tls=None)
    with pytest.raises(ConnectError):
        await get(wire)
    await wire.aclose()


async def test_tls_is_spoken_with_servers_that_prove_who_they_are(tmp_path):
    """A certificate of a known authority for this name; with any other, nothing is sent."""
    certificate = _certificate(tmp_path)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(certificate)
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with wire_to(scheme="https", server_tls=server_tls, tls=trusting) as (wire, _):
        assert (await get(wire)).content == b"ok"
    strangers = ssl.create_default_context()
    async with wire_to(scheme="https", server_tls=server_tls, tls=strangers) as (wire, server):
        with pytest.raises(ConnectError):
            await get(wire)
        assert server.requests == []


def _certificate(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
