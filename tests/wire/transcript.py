"""Recorded conversations with a real Realtime server, and playing the client's part again.

A file in ``golden`` has one step per line: ``connect``, ``to_server``, ``from_server``, ``sql``,
``http``, ``abort``, ``close``, ``closed``. The steps of the client are carried out; every frame of
the server must come, in order among frames of its kind, and no other. A step with ``deviation``
says where this server differs on purpose: ``here`` is what it does instead, null for nothing.
"""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from local_stack.realtime import RealtimeConfig
from tests.spec.realtime.harness import Project, RawClient
from tests.support.waiting import eventually
from tests.wire.unify import Unifier

GOLDEN = Path(__file__).parent / "golden"
PROVENANCE = "recorded from supabase/realtime 2.129.8"
USERS = {
    "A": "11111111-1111-1111-1111-111111111111",
    "B": "22222222-2222-2222-2222-222222222222",
}
_TOKEN = re.compile(r"<(anon|service_role|user [AB](?:, token \d+)?|jwt [^>]*)>")
_CHANGES = frozenset({"postgres_changes", "INSERT", "UPDATE", "DELETE"})
WAIT_S = 8.0


@dataclass(frozen=True, slots=True)
class Transcript:
    """One file: its head and its steps, with the line numbers they stand on."""

    head: dict[str, Any]
    steps: list[tuple[int, dict[str, Any]]]

    @property
    def config(self) -> RealtimeConfig:
        """Settings of the server that the recording was made with, where they matter."""
        # Membership of the publication is looked at when a step asks for it, not by the clock.
        return RealtimeConfig(**{"publication_check_s": 3600, **self.head.get("config", {})})


def load(path: Path) -> Transcript:
    """Return a transcript."""
    head, *steps = (json.loads(line) for line in path.read_text().splitlines())
    return Transcript(head, list(enumerate(steps, start=2)))


def lane(frame: dict[str, Any]) -> str:
    """Return the kind of a frame: order is compared among frames of a kind and topic only."""
    if "user_broadcast" in frame or frame.get("event") == "broadcast":
        return "broadcast"
    event, topic = frame["event"], frame["topic"]
    if event in _CHANGES:
        return f"changes {topic}"
    if event in ("phx_reply", "phx_close", "phx_error"):
        return "control"
    return f"{event} {topic}"


@dataclass(slots=True)
class Replay:
    """Plays one transcript against a project."""

    project: Project
    transcript: Transcript
    clients: dict[str, RawClient] = field(default_factory=dict)
    waiting: dict[tuple[str, str], list[Any]] = field(default_factory=lambda: defaultdict(list))
    tokens: dict[str, str] = field(default_factory=dict)
    unifier: Unifier = field(init=False)

    def __post_init__(self) -> None:
        self.unifier = Unifier(self.transcript.head.get("shared", {}))

    async def run(self) -> None:
        """Carry out every step; AssertionError names the line that does not hold."""
        for line, step in self.transcript.steps:
            try:
                await self._step(step)
            except AssertionError as error:
                name = self.transcript.head["scenario"]
                raise AssertionError(f"{name}.jsonl line {line}: {error}") from error
        await self._expect_nothing_more()

    async def _step(self, step: dict[str, Any]) -> None:
        if "from_server" in step:
            await self._expect(step)
        elif "to_server" in step:
            await self._settle(except_for=step["to_server"])
            await self._send(step)
        elif "connect" in step:
            await self._connect(step)
        elif "sql" in step:
            await self._settle()
            await self._execute(step)
        elif "http" in step:
            await self._settle()
            await self._request(step)
        elif "abort" in step:
            await self._settle()
            self.clients[step["abort"]].connection.transport.abort()
        elif "close" in step:
            await self._settle()
            await self.clients[step["close"]].close()
        elif "closed" in step:
            assert await self.clients[step["closed"]].closed(WAIT_S) == step["code"]
        else:
            assert "note" in step, f"unknown step {step}"

    # the client's part -------------------------------------------------------------------

    async def _settle(self, except_for: str | None = None) -> None:
        """Let the server finish with every other socket first, as it had time to when recorded."""
        for name, client in self.clients.items():
            if name != except_for and client.close_code is None:
                await client.fence()

    async def _connect(self, step: dict[str, Any]) -> None:
        query = {key: self._with_tokens(value) for key, value in step["query"].items()}
        headers = {k: self._with_tokens(v) for k, v in step.get("headers", {}).items()}
        name = step["connect"]
        refused = step.get("here", step.get("refused"))
        options: dict[str, Any] = {"max_size": None, "compression": None}
        answer: list[Any] | None = None
        connection: ClientConnection | None = None
        try:
            connection = await connect(
                self.project.url(**query), additional_headers=headers, **options
            )
        except InvalidStatus as error:
            answer = [error.response.status_code, (error.response.body or b"").decode()]
        assert answer == refused
        if connection is None:
            return
        is_newer = query.get("vsn", "").startswith("2")
        client = RawClient(connection, "2.0.0" if is_newer else "1.0.0")
        self.project.clients.append(client)
        self.clients[name] = client
        for key in [key for key in self.waiting if key[0] == name]:
            del self.waiting[key]

    async def _send(self, step: dict[str, Any]) -> None:
        client = self.clients[step["to_server"]]
        if "raw" in step:
            await client.connection.send(step["raw"])
        elif "hex" in step:
            await client.connection.send(bytes.fromhex(step["hex"]))
        elif "user_broadcast" in step:
            await client.connection.send(_binary_push(step["user_broadcast"]))
        else:
            frame = self._with_tokens(step["frame"])
            if client.version == "2.0.0":
                frame = [frame[key] for key in ("join_ref", "ref", "topic", "event", "payload")]
            await client.connection.send(json.dumps(frame))

    async def _execute(self, step: dict[str, Any]) -> None:
        failure: str | None = None
        try:
            await self.project.db.execute(step["sql"])
        except asyncpg.PostgresError as error:
            failure = str(error.args[0])
        assert failure == step.get("fails"), failure

    async def _request(self, step: dict[str, Any]) -> None:
        headers = {key: self._with_tokens(value) for key, value in step["headers"].items()}
        options: dict[str, Any] = {"headers": headers}
        body = self._with_tokens(step.get("body"))
        if isinstance(body, str):
            options["content"] = body.encode()
        elif "body_hex" in step:
            options["content"] = bytes.fromhex(step["body_hex"])
        elif body is not None or "json" in step:
            options["json"] = step.get("json", body)
        async with httpx.AsyncClient() as http:
            response = await http.request(
                step["http"], f"{self.project.http_url}{step['path']}", **options
            )
        text: Any = response.text
        if response.headers.get("content-type", "").startswith("application/json"):
            text = response.json()
        found = self.unifier.differences(
            step.get("here", step["answer"]), [response.status_code, text], "answer"
        )
        assert not found, found

    def _with_tokens(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._with_tokens(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._with_tokens(inner) for inner in value]
        if isinstance(value, str) and value in self.unifier.shared:
            return self.unifier.shared[value]
        if isinstance(value, str):
            return _TOKEN.sub(lambda match: self._token(match[1]), value)
        return value

    def _token(self, name: str) -> str:
        keys = self.project.keys
        if name in ("anon", "service_role"):
            return keys.anon if name == "anon" else keys.service_role
        if name not in self.tokens:
            self.tokens[name] = self._make_token(name)
        return self.tokens[name]

    def _make_token(self, name: str) -> str:
        now = int(time.time())
        if name.startswith("user"):
            claims: dict[str, Any] = {"sub": USERS[name[5]], "role": "authenticated"}
            claims |= {"iat": now, "exp": now + 3600, "number": len(self.tokens)}
            return jwt.encode(claims, self.project.keys.jwt_secret, algorithm="HS256")
        how, brace, text = name.removeprefix("jwt ").partition("{")
        claims = json.loads(brace + text)
        if isinstance(claims.get("exp"), str) and claims["exp"].startswith("now"):
            claims["exp"] = now + float(claims["exp"][3:])
            claims["exp"] = int(claims["exp"]) if claims["exp"].is_integer() else claims["exp"]
        kind, *header = how.split()
        algorithm = "HS256" if kind == "forged" else kind
        secret = "of-nobody-" * 8 if kind == "forged" else self.project.keys.jwt_secret
        if algorithm == "HS512":
            secret = secret.ljust(64)
        return jwt.encode(
            claims,
            "" if algorithm == "none" else secret,
            algorithm=algorithm,
            headers={"kid": header[1]} if header else None,
        )

    # the server's part -------------------------------------------------------------------

    async def _expect(self, step: dict[str, Any]) -> None:
        if "here" in step and step["here"] is None:
            return
        name = step["from_server"]
        source = step.get("here") or step
        expected = source.get("frame") or {"user_broadcast": source["user_broadcast"]}
        key = (name, lane(expected))

        def arrived() -> bool:
            self._sort_in(name)
            return bool(self.waiting[key])

        seen = {k: v for k, v in self.waiting.items() if k[0] == name and v}
        await eventually(arrived, WAIT_S, message=f"{expected}; waiting: {seen}")
        actual = self.waiting[key].pop(0)
        found = self.unifier.differences(expected, actual)
        assert not found, "\n".join([*found, f"the whole frame: {actual}"])

    def _sort_in(self, name: str) -> None:
        client = self.clients[name]
        fences = [frame for frame in client.frames if str(frame["ref"]).startswith("fence")]
        for frame in client.frames:
            if frame not in fences and '"table":"posts"' not in json.dumps(
                frame.get("payload"), separators=(",", ":")
            ):
                plain = _plain(frame)
                self.waiting[(name, lane(plain))].append(plain)
        client.frames[:] = fences

    async def _expect_nothing_more(self) -> None:
        if "config" not in self.transcript.head:  # limits might refuse the fence's own client
            await self.project.fence()
        await self._settle()
        for name in self.clients:
            self._sort_in(name)
        rest = [
            f"{name}: {frame}" for (name, _), frames in self.waiting.items() for frame in frames
        ]
        assert not rest, "frames that were not recorded:\n" + "\n".join(rest)


def _plain(frame: dict[str, Any]) -> dict[str, Any]:
    """Return a frame in the form transcripts have."""
    if "binary" not in frame:
        return frame
    data: bytes = frame["binary"]
    at, parts = 5, []
    for length in data[1:4]:
        parts.append(data[at : at + length].decode())
        at += length
    topic, event, metadata = parts
    inner: dict[str, Any] = {
        "topic": topic,
        "event": event,
        "metadata": json.loads(metadata) if metadata else None,
        "encoding": "json" if data[4] else "binary",
    }
    if data[4]:
        inner["text"] = data[at:].decode()
    else:
        inner["hex"] = data[at:].hex()
    return {"user_broadcast": inner}


def _binary_push(content: dict[str, Any]) -> bytes:
    metadata = json.dumps(content["metadata"]) if content["metadata"] else ""
    parts = [
        (content[key] or "").encode() for key in ("join_ref", "ref", "topic", "event")
    ] + [metadata.encode()]  # fmt: skip
    is_json = content["encoding"] == "json"
    data = content["text"].encode() if is_json else bytes.fromhex(content["hex"])
    return bytes([3, *map(len, parts), int(is_json)]) + b"".join(parts) + data
