"""One joined topic on one socket: its rights, what it sends on, what it receives."""

from __future__ import annotations

import logging
import time
import uuid
from typing import TYPE_CHECKING, Any

from local_stack.auth.tokens import TokenError
from local_stack.realtime import broadcast
from local_stack.realtime.authorization import ALL_GRANTED, Grants, Subject
from local_stack.realtime.errors import (
    ChannelStoppedError,
    FrameError,
    PermissionCheckError,
    render_token_error,
)
from local_stack.realtime.limits import WindowLimit
from local_stack.realtime.presence import Diff
from local_stack.realtime.rooms import RoomKey
from local_stack.realtime.token_watch import Credential, TokenWatch
from local_stack.realtime.wire import (
    Inbound,
    Push,
    Ref,
    UserBroadcast,
    Version,
    dump_json,
    parse_json,
)

if TYPE_CHECKING:
    from local_stack.realtime.changes.bindings import Binding
    from local_stack.realtime.join_options import JoinOptions
    from local_stack.realtime.replay import Replayed
    from local_stack.realtime.socket import Socket

log = logging.getLogger(__name__)

_NOTHING = Grants(broadcast=False, presence=False)


class Channel:
    """A joined channel. Owner: its socket; used from the event loop only."""

    def __init__(
        self,
        socket: Socket,
        room: RoomKey,
        options: JoinOptions,
        *,
        sent_join_ref: Ref,
        join_ref: Ref,
        credential: Credential,
        grants: Grants,
        bindings: list[Binding],
        presence_enabled: bool,
    ) -> None:
        self.socket = socket
        self.services = socket.services
        self.room = room
        self.options = options
        self.sent_join_ref = sent_join_ref
        self.join_ref = join_ref
        self.bindings = bindings
        self.credential = credential
        self._reads = grants
        self._writes: Grants | None = None if room.private else ALL_GRANTED
        self._presence_enabled = presence_enabled
        self._presence_key = options.presence_key or _unique_key()
        self._presence_limit = WindowLimit(
            self.services.config.presence_calls, self.services.config.presence_window_s
        )
        self._replayed_ids: set[str] = set()
        self._token_watch = TokenWatch(self.services.verifier, self.stop)
        self.is_attached = False

    @property
    def topic(self) -> str:
        """The topic as on the wire."""
        return self.room.topic

    @property
    def subject(self) -> Subject:
        """On whose behalf this channel acts now."""
        return Subject(self.credential.claims, self.socket.headers)

    # life ----------------------------------------------------------------------------------

    def attach(self) -> None:
        """Become reachable: from here on the room delivers to this channel."""
        self.is_attached = True
        self.socket.channels[self.topic] = self
        self.services.joined_sockets.add(self.socket)
        self.services.rooms.enter(self.room, self)
        self._token_watch.follow(self.credential)

    def begin(self, replayed: list[Replayed]) -> None:
        """Send what follows the join reply."""
        for message in replayed:
            self._replayed_ids.add(message.message_id)
            self.socket.send(message.render(self.socket.version, self.join_ref))
        if self.bindings:
            self.services.changes.subscribe(self)
        if self.options.replication_ready:
            self.services.tasks.spawn("replication-ready", self._announce_replication())
        if self._presence_enabled and self._reads.presence:
            self._push("presence_state", self.services.presence.state(self.room))

    def detach(self) -> None:
        """Stop receiving and forget everything; the client is told nothing."""
        if not self.is_attached:
            return
        self.is_attached = False
        self._token_watch.cancel()
        if self.socket.channels.get(self.topic) is self:
            del self.socket.channels[self.topic]
        if not self.socket.channels:
            self.services.joined_sockets.discard(self.socket)
        self.services.rooms.leave(self.room, self)
        self.services.changes.unsubscribe(self)
        self._spread(self.services.presence.untrack(self.room, self))

    def stop(self, message: str) -> None:
        """End the channel from the server's side: ``system`` error, then ``phx_close``."""
        if not self.is_attached:
            return
        self.detach()
        self.send_system("system", "error", message)
        self.send_close()

    def send_close(self) -> None:
        """Send ``phx_close`` for this join."""
        ref = self.sent_join_ref
        self.socket.send_message(
            self.topic, "phx_close", {}, join_ref=ref, ref=ref or self.join_ref
        )

    def send_system(self, extension: str, status: str, message: str) -> None:
        """Send a ``system`` event of this channel."""
        payload = {
            "message": message,
            "status": status,
            "extension": extension,
            "channel": self.room.sub_topic,
        }
        self._push("system", payload)

    def send_changes(self, event: str, payload_json: str) -> None:
        """Send a change of a table."""
        if self.is_attached:
            self.socket.send_push(Push(self.topic, event, payload_json))

    def _push(self, event: str, payload: Any) -> None:
        self.socket.send_message(self.topic, event, payload, join_ref=self.join_ref)

    async def _announce_replication(self) -> None:
        timeout_s = self.services.config.replication_ready_timeout_s
        ready = await self.services.changes.wait_streaming(timeout_s)
        if not self.is_attached:
            return
        if ready:
            self.send_system("system", "ok", "Replication connection established")
        else:
            self.stop("Replication connection was not established in time")

    # messages of the client ------------------------------------------------------------------

    async def handle(self, message: Inbound) -> None:
        """Handle one message other than join and leave."""
        try:
            if message.event == "broadcast":
                await self._handle_broadcast(message)
            elif message.event == "presence":
                await self._handle_presence(message)
            elif message.event == "access_token":
                await self._handle_access_token(message.payload)
            else:
                self._count_event()
        except ChannelStoppedError as error:
            log.info("ChannelShutdown: %s", error.message.partition(":")[0])
            self.stop(error.message)

    async def _handle_broadcast(self, message: Inbound) -> None:
        try:
            push, size_bytes = self._parse_broadcast(message.payload)
        except FrameError:
            # The real server's channel process dies on such a payload.
            self.detach()
            ref = self.sent_join_ref
            self.socket.send_message(
                self.topic, "phx_error", {}, join_ref=ref, ref=ref or self.join_ref
            )
            return
        if size_bytes > self.services.config.max_payload_bytes:
            if self.options.ack:
                self.socket.reply(message, "error", "payload_size_exceeded", join_ref=self.join_ref)
            return
        if not await self._may_broadcast():
            return
        self._count_event()
        without = None if self.options.self_broadcast else self
        self.services.rooms.broadcast(self.room, push, without=without)
        if self.options.ack:
            self.socket.reply(message, "ok", {}, join_ref=self.join_ref)

    def _parse_broadcast(self, payload: Any) -> tuple[Push, int]:
        if isinstance(payload, UserBroadcast):
            if payload.is_json:
                parse_json(payload.data)
            return broadcast.push_of_binary(self.room, payload), len(payload.data)
        if not isinstance(payload, dict) and self._has_version_2_member():
            raise FrameError("version 2 can carry an object only")
        push = broadcast.push_of_client(self.room, payload)
        return push, len((push.payload_json or "").encode())

    def _has_version_2_member(self) -> bool:
        members = self.services.rooms.members(self.room)
        return any(member.version is Version.V2 for member in members)

    @property
    def version(self) -> Version:
        """Serializer of the channel's socket."""
        return self.socket.version

    async def _may_broadcast(self) -> bool:
        writes = await self._write_grants()
        return writes.broadcast and self.is_attached

    async def _write_grants(self) -> Grants:
        """Return what may be sent; asked once per token, a failed question is asked again."""
        if self._writes is None:
            subject = self.subject
            try:
                self._writes = await self.services.authorizer.write(self.room.sub_topic, subject)
            except PermissionCheckError as error:
                log.warning("UnableToSetPolicies: %s", error.reason.partition(":")[0])
                return _NOTHING
        return self._writes

    def _count_event(self) -> None:
        now_s = time.monotonic()
        self.services.counters.events.add(now_s)
        if self.services.counters.events.is_triggered(now_s):
            raise ChannelStoppedError("Too many messages per second")

    # presence --------------------------------------------------------------------------------

    async def _handle_presence(self, message: Inbound) -> None:
        payload = message.payload if isinstance(message.payload, dict) else {}
        event = payload.get("event")
        if event is None:
            self.socket.reply(message, "ok", {}, join_ref=self.join_ref)
            return
        self._count_presence()
        status, response = await self._apply_presence(str(event).lower(), payload)
        if self.is_attached:
            self.socket.reply(message, status, response, join_ref=self.join_ref)

    async def _apply_presence(self, event: str, payload: dict[str, Any]) -> tuple[str, Any]:
        if event == "untrack":
            self._spread(self.services.presence.untrack(self.room, self))
            return "ok", {}
        if event != "track":
            return "error", {}
        meta = payload.get("payload", {})
        if not isinstance(meta, dict):
            return "error", {"reason": "Presence track payload must be a map"}
        if len(dump_json(meta)) > self.services.config.max_payload_bytes:
            raise ChannelStoppedError("Track message size exceeded")
        if not (await self._write_grants()).presence or not self.is_attached:
            return "error", {}
        await self._enable_presence()
        if self.is_attached:
            diff = self.services.presence.track(self.room, self, self._presence_key, meta)
            self._spread(diff)
        return "ok", {}

    async def _enable_presence(self) -> None:
        """Ask for presence read on a private channel that joined without presence."""
        if self._presence_enabled:
            return
        self._presence_enabled = True
        if not self.room.private:
            return
        try:
            reads = await self.services.authorizer.read(
                self.room.sub_topic, self.subject, presence=True
            )
        except PermissionCheckError:
            self._presence_enabled = False
            return
        self._reads = Grants(broadcast=self._reads.broadcast, presence=reads.presence)

    def _spread(self, diff: Diff) -> None:
        if not diff:
            return
        push = Push(self.topic, "presence_diff", dump_json(diff.to_payload()))
        for member in self.services.rooms.members(self.room):
            member.deliver_presence(push)

    def _count_presence(self) -> None:
        now_s = time.monotonic()
        self.services.counters.presence.add(now_s)
        if self.services.counters.presence.is_triggered(now_s):
            raise ChannelStoppedError("Too many presence messages per second")
        if not self._presence_limit.take(now_s):
            raise ChannelStoppedError("Client presence rate limit exceeded")

    # deliveries --------------------------------------------------------------------------------

    def deliver_broadcast(self, push: Push, message_id: str | None) -> None:
        """Send a broadcast of the room to the client, unless its policies withhold it."""
        if not self._reads.broadcast:
            return
        if message_id is not None and message_id in self._replayed_ids:
            return
        counter = self.services.counters.events
        if counter.limit is not None:
            now_s = time.monotonic()
            counter.add(now_s)
            if counter.is_triggered(now_s):
                self.stop("Too many messages per second")
                return
        self.socket.send_push(push)

    def deliver_presence(self, push: Push) -> None:
        """Send a presence_diff of the room to the client."""
        if not self.room.private or (self._reads.presence and self._presence_enabled):
            self.socket.send_push(push)

    # token -----------------------------------------------------------------------------------

    async def _handle_access_token(self, payload: Any) -> None:
        token = payload.get("access_token") if isinstance(payload, dict) else None
        if not isinstance(token, str) or token.startswith("sb_") or token == self.credential.token:
            return
        try:
            claims = self.services.verifier.verify(token)
        except TokenError as error:
            raise ChannelStoppedError(render_token_error(error)[2]) from error
        self.credential = Credential(token, claims)
        if self.room.private:
            await self._reread_grants()
        if not self.is_attached:
            return
        self._token_watch.follow(self.credential)
        if self.bindings:
            self.services.changes.resubscribe(self)

    async def _reread_grants(self) -> None:
        sub_topic = self.room.sub_topic
        self._writes = None
        try:
            reads = await self.services.authorizer.read(
                sub_topic, self.subject, presence=self._presence_enabled
            )
        except PermissionCheckError as error:
            raise ChannelStoppedError(error.channel_message) from error
        if not reads.broadcast and not reads.presence:
            raise ChannelStoppedError(
                f"You do not have permissions to read from this Channel topic: {sub_topic}"
            )
        lost_broadcast = self._reads.broadcast and not reads.broadcast
        lost_presence = self._reads.presence and not reads.presence
        if lost_broadcast or lost_presence:
            raise ChannelStoppedError(
                f"You no longer have permission to read from this Channel topic: {sub_topic}"
            )
        self._reads = reads


def _unique_key() -> str:
    # A time-based id with a random node, so that the host's hardware address stays private.
    return str(uuid.uuid1(node=uuid.uuid4().int & ((1 << 48) - 1)))
