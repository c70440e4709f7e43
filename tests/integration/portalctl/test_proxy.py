"""The demo's proxy passes bytes on untouched, and a cut resets every connection at once."""

import asyncio
import contextlib
from contextlib import asynccontextmanager

import pytest

from portalctl.demo.proxy import CuttingProxy
from tests.support.waiting import eventually


@asynccontextmanager
async def echo_server():
    """A server that sends back what it gets, and on end of input says how much that was."""
    serving = set()

    async def serve(reader, writer):
        serving.add(asyncio.current_task())
        size = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                size += len(data)
                writer.write(data)
                await writer.drain()
            writer.write(f"|{size}".encode())
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", lambda: len(serving)
    if serving:
        await asyncio.wait(serving)


async def connect(url):
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def test_bytes_pass_in_both_directions_and_a_half_close_is_one():
    async with echo_server() as (url, _), CuttingProxy(url) as proxy:
        reader, writer = await connect(proxy.url)
        blob = bytes(range(256)) * 8192
        writer.write(blob)
        writer.write_eof()
        assert await reader.read(-1) == blob + f"|{len(blob)}".encode()
        writer.close()
        await eventually(lambda: proxy.open_count == 0)


async def test_a_cut_resets_every_connection_and_new_ones_work():
    async with echo_server() as (url, served), CuttingProxy(url) as proxy:
        links = [await connect(proxy.url) for _ in range(5)]
        for reader, writer in links:
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        assert proxy.open_count == 5
        assert proxy.cut() == 5
        for reader, writer in links:
            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
            writer.close()
        await eventually(lambda: proxy.open_count == 0)
        reader, writer = await connect(proxy.url)
        writer.write(b"again")
        assert await reader.readexactly(5) == b"again"
        assert served() == 6
        writer.close()


async def test_a_server_that_is_not_there_resets_the_client():
    async with echo_server() as (url, _):
        pass
    async with CuttingProxy(url) as proxy:
        reader, writer = await connect(proxy.url)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()


async def test_leaving_the_context_closes_listener_and_connections():
    async with echo_server() as (url, _):
        async with CuttingProxy(url) as proxy:
            reader, writer = await connect(proxy.url)
            writer.write(b"hello")
            await reader.readexactly(5)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()
        with pytest.raises(ConnectionError):
            await connect(proxy.url)
