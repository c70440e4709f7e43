"""What the service asks of Supabase Realtime besides its doorbell, as the member of staff."""

from typing import Any
from urllib.parse import quote

import httpx

from crm_service.auth import Subject
from crm_service.errors import ForbiddenError, RealtimeUnavailableError
from crm_service.events.doorbell import FAILURES, Doorbell, read_presence
from crm_service.events.roster import Roster
from crm_service.settings import Settings


class Realtime:
    """Doorbells, presence and broadcasts; borrows the HTTP client."""

    def __init__(self, http: httpx.AsyncClient, settings: Settings) -> None:
        self._http = http
        self._socket_url = settings.realtime_url
        self._broadcast_url = f"{settings.supabase_url}/realtime/v1/api/broadcast"
        self._api_key = settings.supabase_key.get_secret_value()
        self._retry_after_s = settings.retry_after_s

    def doorbell(
        self, subject: Subject, *, says: dict[str, Any] | None = None, room: str | None = None
    ) -> Doorbell:
        """Return a doorbell; see there."""
        return Doorbell(self._socket_url, self._api_key, subject, says=says, room=room)

    async def members(self, subject: Subject, topic: str) -> Roster:
        """Return who is in a room now.

        Raises:
            RealtimeUnavailableError: Realtime does not answer, or does not let the caller in.
        """
        try:
            return await read_presence(self._socket_url, self._api_key, subject, topic)
        except FAILURES as error:
            raise self._unavailable() from error

    async def broadcast(
        self, subject: Subject, topic: str, event: str, payload: dict[str, Any]
    ) -> None:
        """Say something in a private room, once; whoever is not there misses it.

        Raises:
            ForbiddenError: The policies do not let the caller speak there.
            RealtimeUnavailableError: Realtime does not answer.
        """
        url = f"{self._broadcast_url}/{quote(topic, safe='')}/events/{quote(event, safe='')}"
        headers = {
            "apikey": self._api_key,
            "Authorization": f"Bearer {subject.token.get_secret_value()}",
        }
        try:
            response = await self._http.post(
                url, params={"private": "true"}, json=payload, headers=headers
            )
        except httpx.HTTPError as error:
            raise self._unavailable() from error
        if response.status_code == httpx.codes.FORBIDDEN:
            raise ForbiddenError("You may not speak in this room.")
        if not response.is_success:
            raise self._unavailable()

    def _unavailable(self) -> RealtimeUnavailableError:
        return RealtimeUnavailableError(
            "Supabase Realtime does not answer. Try again.", retry_after_s=self._retry_after_s
        )
