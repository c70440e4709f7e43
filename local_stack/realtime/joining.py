"""Joining a channel: every check in order, then the reply, then what follows it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from local_stack.auth.tokens import TokenError
from local_stack.realtime.authorization import ALL_GRANTED, Grants, Subject
from local_stack.realtime.changes.bindings import Binding, echo_bindings, legacy_binding
from local_stack.realtime.channel import Channel
from local_stack.realtime.errors import (
    JoinRefusedError,
    PermissionCheckError,
    render_token_error,
)
from local_stack.realtime.join_options import JoinOptions, parse_join
from local_stack.realtime.rooms import PREFIX, RoomKey
from local_stack.realtime.token_watch import Credential

if TYPE_CHECKING:
    from local_stack.realtime.replay import Replayed
    from local_stack.realtime.services import Services
    from local_stack.realtime.socket import Socket
    from local_stack.realtime.wire import Inbound

log = logging.getLogger(__name__)

_CLOSE_GOING_AWAY = 1001


async def join(socket: Socket, message: Inbound) -> None:
    """Answer a ``phx_join``: the socket handles nothing else until this returns."""
    previous = socket.channels.get(message.topic)
    if previous is not None:
        previous.detach()
    try:
        channel, replayed = await _open(socket, message)
    except JoinRefusedError as error:
        await asyncio.sleep(socket.services.config.join_error_delay_s)
        log.info("join refused: %s", error.reason.partition(":")[0])
        socket.reply(message, "error", {"reason": error.reason}, join_ref=message.join_ref)
        if error.close_code is not None:
            socket.close(error.close_code)
    else:
        # No await from here to the reply: nothing may reach the channel before it.
        channel.attach()
        echo = echo_bindings(channel.bindings)
        socket.reply(message, "ok", {"postgres_changes": echo}, join_ref=channel.join_ref)
        channel.begin(replayed)
    if previous is not None:
        previous.send_close()


async def _open(socket: Socket, message: Inbound) -> tuple[Channel, list[Replayed]]:
    services = socket.services
    if services.faults.refuse_joins is not None:
        raise JoinRefusedError(services.faults.refuse_joins)
    sub_topic = message.topic.removeprefix(PREFIX)
    if not sub_topic:
        raise JoinRefusedError("TopicNameRequired: You must provide a topic name")
    options = parse_join(message.payload)
    _check_limits(services, socket, options)
    credential = verify_credential(socket, options.token)
    room = RoomKey(sub_topic, options.private)
    presence = options.presence_enabled or services.config.presence_enabled
    subject = Subject(credential.claims, socket.headers)
    grants = await _read_grants(services, room, subject, presence=presence)
    replayed = await _replay(services, room, options)
    channel = Channel(
        socket,
        room,
        options,
        sent_join_ref=message.join_ref,
        join_ref=message.join_ref or message.ref,
        credential=credential,
        grants=grants,
        bindings=_bindings(options, sub_topic),
        presence_enabled=presence,
    )
    return channel, replayed


def _check_limits(services: Services, socket: Socket, options: JoinOptions) -> None:
    config = services.config
    if services.is_stopping:
        raise JoinRefusedError("RealtimeRestarting: Realtime is restarting, please standby")
    if config.private_only and not options.private:
        raise JoinRefusedError("PrivateOnly: This project only allows private channels")
    users = services.joined_sockets
    limit = config.max_concurrent_users
    if limit is not None and socket not in users and len(users) >= limit:
        raise JoinRefusedError("ConnectionRateLimitReached: Too many connected users")
    now_s = time.monotonic()
    services.counters.joins.add(now_s)
    if services.counters.joins.is_triggered(now_s):
        raise JoinRefusedError(
            "ClientJoinRateLimitReached: Too many joins per second", _CLOSE_GOING_AWAY
        )
    if len(socket.channels) >= config.max_channels_per_client:
        raise JoinRefusedError("ChannelRateLimitReached: Too many channels")


def verify_credential(socket: Socket, token: str | None) -> Credential:
    """Return the credential of a channel: its own token, or the socket's.

    Raises:
        JoinRefusedError: the token is not good.
    """
    if token is None or token.startswith("sb_"):
        token = socket.tenant.token
        if token is None:
            return Credential(None, socket.tenant.claims)
    try:
        return Credential(token, socket.services.verifier.verify(token))
    except TokenError as error:
        raise JoinRefusedError(render_token_error(error)[1]) from error


async def _read_grants(
    services: Services, room: RoomKey, subject: Subject, *, presence: bool
) -> Grants:
    if not room.private:
        return ALL_GRANTED
    try:
        grants = await services.authorizer.read(room.sub_topic, subject, presence=presence)
    except PermissionCheckError as error:
        raise JoinRefusedError(error.reason) from error
    if not grants.broadcast and not grants.presence:
        raise JoinRefusedError(
            "Unauthorized: You do not have permissions to read from this Channel topic: "
            + room.sub_topic
        )
    return grants


async def _replay(services: Services, room: RoomKey, options: JoinOptions) -> list[Replayed]:
    if not options.replay_present:
        return []
    if not room.private:
        raise JoinRefusedError("UnableToReplayMessages: Replay is not allowed for public channels")
    return await services.replayer.fetch(room.sub_topic, options.replay)


def _bindings(options: JoinOptions, sub_topic: str) -> list[Binding]:
    if options.is_legacy:
        return [legacy_binding(sub_topic)]
    raw: list[Any] = options.postgres_changes
    return [Binding.parse(params) for params in raw]
