"""The wire to PostgREST against servers that answer byte by byte as told."""

import asyncio
import datetime as dt
import ssl
from contextlib import asynccontextmanager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from crm_service.wire import BrokenError, ConnectError, SocketWire
from tests.support.waiting import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


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
    wire = SocketWire(f"{scheme}://localhost:{server.port}", keepalive_s=keepalive_s, tls=tls)
    try:
        yield wire, server
    finally:
        await wire.aclose()
        listening.close()
        await eventually(lambda: server.open == 0)
        await asyncio.gather(*server.tasks, return_exceptions=True)


async def get(wire, **headers):
    return await wire.exchange("GET", "/x?y=1", headers, None)


@pytest.mark.parametrize(
    ("pieces", "status", "content"),
    [
        (OK, 200, b"ok"),
        ([OK[:5], OK[5:30], OK[30:]], 200, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", 201, b""),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\no", b"k\r\n0\r\n\r\n"],
            200,
            b"ok",
        ),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, 200, b"ok"),
        (b"HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\nno", 409, b"no"),
    ],
    ids=["whole", "pieces", "no content", "empty", "chunked", "hint", "refusal"],
)
async def test_an_answer_is_read_whole_and_the_connection_kept(pieces, status, content):
    """However it is framed; the next request takes the same connection."""
    async with wire_to(pieces, OK) as (wire, server):
        answer = await get(wire)
        assert (answer.status, answer.content) == (status, content)
        assert (await get(wire)).content == b"ok"
        assert server.connections == 1


async def test_what_is_sent():
    """Request line, host with port, the headers given, and the length of the body."""
    async with wire_to() as (wire, server):
        await wire.exchange("POST", "/rest/v1/x", {"apikey": "k"}, b'{"a":1}')
        host = f"Host: localhost:{server.port}\r\n".encode()
        head = b"POST /rest/v1/x HTTP/1.1\r\n" + host + b"apikey: k\r\nContent-Length: 7\r\n\r\n"
        assert server.requests == [head + b'{"a":1}']


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\nb", "a\rb"])
async def test_a_header_cannot_break_out_of_its_line(value):
    """Refused before anything is sent."""
    async with wire_to() as (wire, server):
        with pytest.raises(ValueError, match="line break"):
            await get(wire, name=value)
        assert server.connections == 0


@pytest.mark.parametrize(
    "pieces",
    [
        [b""],
        [OK[:-1], b""],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", b""],
        b"SSH-2.0-OpenSSH\r\n\r\n",
    ],
    ids=["nothing", "half", "half chunked", "not HTTP"],
)
async def test_half_an_answer_is_none(pieces):
    """It is reported, and the next request gets a connection of its own."""
    async with wire_to(pieces, OK) as (wire, server):
        with pytest.raises(BrokenError):
            await get(wire)
        assert (await get(wire)).content == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize(
    "pieces",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        [b"HTTP/1.1 200 OK\r\n\r\nok", b""],
        OK + OK.replace(b"ok", b"no"),
        [OK, OK.replace(b"ok", b"no")],
    ],
    ids=["close", "no length", "two answers", "a late second answer"],
)
async def test_a_connection_in_doubt_is_not_used_again(pieces):
    """The server hangs up, or said more than was asked."""
    async with wire_to(pieces, OK) as (wire, server):
        assert (await get(wire)).content == b"ok"
        await eventually(lambda: server.open == 0)
        assert (await get(wire)).content == b"ok"
        assert server.connections == 2


async def test_a_connection_that_was_closed_while_idle_is_not_used():
    """Nobody notices."""
    async with wire_to([OK, b""]) as (wire, server):
        await get(wire)
        await eventually(lambda: wire._idle[0].is_lost)
        assert (await get(wire)).content == b"ok"
        assert server.connections == 2


async def test_an_old_connection_is_not_used():
    """The server would be about to close it."""
    async with wire_to(keepalive_s=-1.0) as (wire, server):
        await get(wire)
        await get(wire)
        assert server.connections == 2
        await eventually(lambda: server.open == 1)


async def test_who_gives_up_leaves_no_answer_behind():
    """The connection goes with the wait."""
    async with wire_to(None, OK) as (wire, server):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await get(wire)
        assert (await get(wire)).content == b"ok"
        await eventually(lambda: server.open == 1)


async def test_nobody_listens():
    """Said as such: nothing was sent."""
    async with wire_to() as (_, server):
        port = server.port
    wire = SocketWire(f"http://127.0.0.1:{port}", keepalive_s=1, tls=None)
    with pytest.raises(ConnectError):
        await get(wire)


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
