"""The official Python clients, driven line by line from outside.

Runs as a process of its own: one JSON request per line on standard input, one JSON answer per line
on standard output. ``client_js.mjs`` answers the same requests with the JavaScript clients. Method
names and arguments in requests are those of JavaScript; this file says what they are in Python.
"""

from __future__ import annotations

import asyncio
import json
import operator
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from postgrest.exceptions import APIError
from pydantic import BaseModel
from realtime import RealtimePostgresChangesListenEvent
from realtime.types import RealtimeSubscribeStates
from supabase import AsyncClient, acreate_client
from supabase.lib.client_options import AsyncClientOptions
from supabase_auth import AsyncGoTrueClient
from supabase_auth.errors import AuthError

Answer = dict[str, Any]
MAX_LINE_BYTES = 1_000_000


class Room:
    """A channel and everything it was told, in order."""

    def __init__(self, channel: Any, listens: list[Answer]) -> None:
        self.channel = channel
        self.heard: list[Answer] = []
        for listen in listens:
            self._listen(listen)

    def _listen(self, listen: Answer) -> None:
        kind, tell = listen["kind"], self.heard.append
        if kind == "broadcast":
            self.channel.on_broadcast(
                listen["event"],
                lambda got: tell(
                    {"kind": "broadcast", "event": got["event"], "payload": got["payload"]}
                ),
            )
        elif kind == "presence":
            self.channel.on_presence_sync(lambda: tell({"kind": "sync"}))
            self.channel.on_presence_join(
                lambda key, _old, new: tell({"kind": "join", "key": key, "new": presences(new)})
            )
            self.channel.on_presence_leave(
                lambda key, _rest, gone: tell(
                    {"kind": "leave", "key": key, "gone": presences(gone)}
                )
            )
        elif kind == "changes":
            self.channel.on_postgres_changes(
                RealtimePostgresChangesListenEvent(listen["event"]),
                lambda got: tell(change_of(got["data"])),
                table=listen.get("table"),
                schema="public",
                filter=listen.get("filter"),
            )
        elif kind == "system":
            self.channel.on_system(
                lambda got: tell({"kind": "system", "message": got.message, "status": got.status})
            )

    def told_state(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        """Record what became of the subscription."""
        said = {} if error is None else {"error": str(error)}
        self.heard.append({"kind": "state", "state": state.value, **said})


class Actor:
    """One client with its channels."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.rooms: dict[str, Room] = {}


class Driver:
    """Answers requests; keeps the clients by the name the script gave them."""

    def __init__(self) -> None:
        self._actors: dict[str, Actor] = {}
        self._auth: dict[str, AsyncGoTrueClient] = {}
        self._events: dict[str, list[str]] = {}

    async def answer(self, request: Answer) -> Any:
        """Do what one request asks for."""
        work: Callable[[Answer], Awaitable[Any]] = getattr(self, "do_" + request["op"])
        return await work(request)

    async def do_client(self, request: Answer) -> None:
        """Make a client of the whole project."""
        options = AsyncClientOptions(auto_refresh_token=False, flow_type="implicit")
        client = await acreate_client(request["url"], request["key"], options)
        self._actors[request["client"]] = Actor(client)

    async def do_auth_client(self, request: Answer) -> None:
        """Make a client of the auth server alone."""
        name, key = request["client"], request["key"]
        client = AsyncGoTrueClient(
            url=f"{request['url']}/auth/v1",
            headers={"apikey": key, "Authorization": f"Bearer {key}"},
            auto_refresh_token=False,
        )
        self._events[name] = []
        client.on_auth_state_change(lambda event, _session: self._events[name].append(event))
        self._auth[name] = client

    async def do_auth(self, request: Answer) -> Answer:
        """Call a method of the auth client."""
        return await called(self._auth_of(request), request)

    async def do_admin(self, request: Answer) -> Answer:
        """Call a method of the auth client's administration."""
        return await called(self._auth_of(request).admin, request)

    async def do_auth_events(self, request: Answer) -> list[str]:
        """Return the state changes the auth client announced."""
        return self._events[request["client"]]

    def _auth_of(self, request: Answer) -> Any:
        name = request["client"]
        return self._auth[name] if name in self._auth else self._actors[name].client.auth

    async def do_query(self, request: Answer) -> Answer:
        """Run a chain of query methods."""
        client = self._actors[request["client"]].client
        try:
            got = await built(client, request["chain"]).execute()
        except APIError as error:
            named = {"code": error.code, "message": error.message}
            return {"error": {**named, "details": error.details, "hint": error.hint}}
        if got is None:
            return {"data": None}
        return {"data": got.data, "count": getattr(got, "count", None)}

    async def do_open(self, request: Answer) -> Answer:
        """Subscribe to a channel and return the first state of the subscription."""
        actor = self._actors[request["client"]]
        params = {"config": {"private": False, **request.get("config", {})}}
        channel = actor.client.channel(request["topic"], params)  # type: ignore[arg-type]
        room = actor.rooms[request["room"]] = Room(channel, request.get("listen", []))
        await channel.subscribe(room.told_state)
        return next(said for said in room.heard if said["kind"] == "state")

    def _room(self, request: Answer) -> Room:
        return self._actors[request["client"]].rooms[request["room"]]

    async def do_heard(self, request: Answer) -> list[Answer]:
        """Return everything a channel was told so far."""
        return self._room(request).heard

    async def do_forget(self, request: Answer) -> None:
        """Forget what a channel was told."""
        self._room(request).heard.clear()

    async def do_send(self, request: Answer) -> None:
        """Broadcast over the socket."""
        await self._room(request).channel.send_broadcast(request["event"], request["payload"])

    async def do_http_send(self, request: Answer) -> None:
        """Broadcast over HTTP."""
        await self._room(request).channel.http_send(request["event"], request["payload"])

    async def do_track(self, request: Answer) -> None:
        """Announce presence."""
        await self._room(request).channel.track(request["payload"])

    async def do_untrack(self, request: Answer) -> None:
        """Withdraw presence."""
        await self._room(request).channel.untrack()

    async def do_presence(self, request: Answer) -> Answer:
        """Return who is present, by key."""
        state = self._room(request).channel.presence_state()
        return {key: presences(items) for key, items in state.items()}

    async def do_set_auth(self, request: Answer) -> None:
        """Give the Realtime client another token."""
        await self._actors[request["client"]].client.realtime.set_auth(request["token"])

    async def do_remove(self, request: Answer) -> None:
        """Leave a channel for good."""
        actor = self._actors[request["client"]]
        await actor.client.remove_channel(self._room(request).channel)

    async def do_topics(self, request: Answer) -> list[str]:
        """Return the topics of the client's channels."""
        return [one.topic for one in self._actors[request["client"]].client.get_channels()]


def presences(items: list[Any]) -> list[Answer]:
    """Return presence entries without the server's references."""
    return [{key: value for key, value in item.items() if key != "presence_ref"} for item in items]


def change_of(data: Answer) -> Answer:
    """Return a row change in the shape both drivers use."""
    kind = data["type"]
    return {
        "kind": "change",
        "type": getattr(kind, "value", kind),
        "table": data["table"],
        "new": data.get("record") or {},
        "old": data.get("old_record") or {},
    }


def snake(name: str) -> str:
    """Return a JavaScript name as Python writes it."""
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()


async def called(target: Any, request: Answer) -> Answer:
    """Call an auth method; an error of the client is an answer."""
    method, args = request["method"], request.get("args", [])
    try:
        got = await CALLS.get(method, plain_call(method))(target, *args)
    except AuthError as error:
        return {
            "error": {
                "message": error.message,
                "code": error.code,
                "status": getattr(error, "status", None),
                "reasons": getattr(error, "reasons", None),
            }
        }
    got = as_json(got)
    wrapper = WRAPPED.get(method)
    return {"data": got if wrapper is None else {wrapper: got}}


def plain_call(method: str) -> Callable[..., Awaitable[Any]]:
    """Return the call of a method that takes the same arguments in Python."""
    name = {"signInWithSSO": "sign_in_with_sso"}.get(method, snake(method))
    return lambda target, *args: operator.attrgetter(name)(target)(*args)


# What JavaScript takes as one object and Python as arguments.
CALLS: dict[str, Callable[..., Awaitable[Any]]] = {
    "setSession": lambda auth, given: auth.set_session(**given),
    "refreshSession": lambda auth, given=None: auth.refresh_session(**(given or {})),
    "mfa.enroll": lambda auth, given: auth.mfa.enroll({snake(k): v for k, v in given.items()}),
    "listUsers": lambda admin, given: admin.list_users(given["page"], given["perPage"]),
}
# What JavaScript puts into an object and Python returns bare.
WRAPPED = {"getSession": "session", "listUsers": "users"}


def as_json(value: Any) -> Any:
    """Return models as dicts."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list):
        return [as_json(item) for item in value]
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    return value.hex() if isinstance(value, bytes) else value


def built(client: AsyncClient, chain: list[list[Any]]) -> Any:
    """Return the request that a chain of JavaScript query methods stands for."""
    query: Any = client
    for method, *args in chain:
        query = STEPS.get(method, plain(method))(query, *args)
    return query


def plain(method: str) -> Callable[..., Any]:
    """Return the step of a method that takes the same arguments in Python."""
    return lambda query, *args: getattr(query, snake(method))(*args)


def selected(query: Any, columns: str = "*", options: Answer | None = None) -> Any:
    """Select from a table, or choose what a write or a function returns."""
    return query.select(columns, **(options or {}))


def ordered(query: Any, column: str, options: Answer | None = None) -> Any:
    """Order by a column."""
    wanted = options or {}
    return query.order(
        column,
        desc=not wanted.get("ascending", True),
        nullsfirst=wanted.get("nullsFirst"),
        foreign_table=wanted.get("referencedTable"),
    )


def limited(query: Any, count: int, options: Answer | None = None) -> Any:
    """Limit the rows, or those of an embedding."""
    return query.limit(count, foreign_table=(options or {}).get("referencedTable"))


def inserted(query: Any, rows: Any, options: Answer | None = None) -> Any:
    """Insert rows."""
    return query.insert(rows, **{snake(name): value for name, value in (options or {}).items()})


def upserted(query: Any, rows: Any, options: Answer | None = None) -> Any:
    """Insert or merge rows."""
    wanted = {snake(name): value for name, value in (options or {}).items()}
    return query.upsert(rows, **wanted)


STEPS: dict[str, Callable[..., Any]] = {
    "from": lambda query, table: query.table(table),
    "rpc": lambda query, name, args, options=None: query.rpc(name, args, **(options or {})),
    "select": selected,
    "order": ordered,
    "upsert": upserted,
    "insert": inserted,
    "limit": limited,
    "update": lambda query, row, options=None: query.update(row, **(options or {})),
    "delete": lambda query, options=None: query.delete(**(options or {})),
    "in": lambda query, column, values: query.in_(column, values),
    "is": lambda query, column, value: query.is_(column, value),
    "or": lambda query, filters: query.or_(filters),
    "likeAnyOf": lambda query, column, patterns: query.like_any_of(column, ",".join(patterns)),
    "ilikeAllOf": lambda query, column, patterns: query.ilike_all_of(column, ",".join(patterns)),
    "not": lambda query, column, operator, value: query.not_.filter(column, operator, value),
    "textSearch": lambda query, column, words: query.fts(column, words),
}


async def main() -> None:
    """Answer requests until standard input ends."""
    driver, loop = Driver(), asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            answer: Answer = {"ok": await driver.answer(json.loads(line))}
        except Exception as error:  # noqa: BLE001  whatever the client raises is what is asked for
            answer = {"raised": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
