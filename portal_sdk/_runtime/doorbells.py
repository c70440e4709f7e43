"""The doorbells over Supabase Realtime, by kind."""

from __future__ import annotations

from portal_sdk._runtime.broadcast import BroadcastLink
from portal_sdk._runtime.database_changes import DatabaseChangesLink
from portal_sdk._runtime.transport import DoorbellLink, Sink
from portal_sdk.config import PortalConfig
from portal_sdk.types import DoorbellKind

_LINKS: dict[DoorbellKind, type[BroadcastLink]] = {
    "broadcast": BroadcastLink,
    "postgres_changes": DatabaseChangesLink,
}


class RealtimeTransport:
    """Makes links over the official realtime client."""

    def __init__(self, base_url: str, api_key: str, config: PortalConfig) -> None:
        self._url = f"{base_url}/realtime/v1"
        self._api_key = api_key
        self._config = config

    def create_link(
        self, generation: int, scope: str, token: str, sink: Sink, kind: DoorbellKind
    ) -> DoorbellLink:
        """Return a new link for this generation; no I/O yet."""
        make = _LINKS[kind]
        return make(self._url, self._api_key, self._config, generation, scope, token, sink)
