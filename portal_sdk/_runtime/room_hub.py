"""RoomHub: the rooms of one portal, told of tokens and pauses."""

from __future__ import annotations

from collections.abc import Callable

from portal_sdk._runtime.room import RoomOwner, RoomRunner
from portal_sdk._runtime.room_link import RoomOptions
from portal_sdk.config import PortalConfig


class RoomHub:
    """Makes rooms and keeps them supplied; owned by one portal or one plain client."""

    def __init__(
        self, base_url: str, api_key: str, config: PortalConfig, refused: Callable[[], None]
    ) -> None:
        self.config = config
        self._url = f"{base_url}/realtime/v1"
        self._api_key = api_key
        self._refused = refused
        self._token = ""
        self._is_resting = self._is_closed = False
        self._rooms: set[RoomRunner] = set()

    def create(self, options: RoomOptions, owner: RoomOwner) -> RoomRunner:
        """Return a room that is not started yet."""
        return RoomRunner(self._url, self._api_key, self.config, options, self, owner)

    def steer(self, token: str | None, *, is_resting: bool) -> None:
        """Take the newest token, and whether sockets are wanted at all."""
        has_news = (token or "", is_resting) != (self._token, self._is_resting)
        self._token, self._is_resting = token or "", is_resting
        if not has_news:
            return
        for room in list(self._rooms):
            if is_resting:
                room.rest()
            elif token:
                room.token_changed()

    async def close(self) -> None:
        """Leave every room, for good: nobody enters one any more (ROOM-5)."""
        self._is_closed = True
        for room in list(self._rooms):
            await room.close()

    # TokenHolder.

    @property
    def is_closed(self) -> bool:
        """Whether the portal or client is closed."""
        return self._is_closed

    def access_token(self) -> str:
        """Return the newest token."""
        return "" if self._is_resting or self._is_closed else self._token

    def add_room(self, room: RoomRunner) -> None:
        """Supply this room from now on."""
        self._rooms.add(room)

    def drop_room(self, room: RoomRunner) -> None:
        """Forget the room."""
        self._rooms.discard(room)

    def token_refused(self) -> None:
        """Pass the complaint on."""
        self._refused()
