"""Every limit and duration of the Realtime server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RealtimeConfig:
    """Settings of one server; rate limits are off (None) unless they protect the process itself.

    Attributes:
        connect_error_delay_s: wait before a refused handshake is answered (hosted: 2 s).
        join_error_delay_s: wait before a failed join is answered (hosted: 5 s).
        resubscribe_delay_s: wait before new claims reach the table subscriptions (hosted: 1–3 s).
        subscribe_retry_s: wait before a subscription that met a database failure is tried again.
        idle_timeout_s: a socket without any inbound frame for this long is closed.
        max_payload_kb: largest broadcast or presence payload, in units of 1,000 bytes.
        max_queued_bytes: what may wait for one slow socket before it is dropped.
        presence_calls, presence_window_s: presence pushes one channel may make per window.
        delivery_timeout_s: one question about a change may take this long before it is given up.
        max_queued_changes, max_queued_change_bytes: decoded changes that may wait for delivery;
            from then on the replication stream is not read until half of them are gone.
        publication_check_s: how often membership of the publication is compared.
        private_only: refuse public channels.
        presence_enabled: presence is on for every join, whatever it asks for.
    """

    connect_error_delay_s: float = 0.05
    join_error_delay_s: float = 0.05
    resubscribe_delay_s: float = 0.1
    subscribe_retry_s: float = 2.0
    idle_timeout_s: float = 60.0
    database_timeout_s: float = 10.0
    pool_size: int = 6
    max_frame_bytes: int = 5_000_000
    max_body_bytes: int = 8_000_000
    max_payload_kb: int = 3_000
    max_channels_per_client: int = 100
    max_record_bytes: int = 1_048_576
    delivery_timeout_s: float = 5.0
    max_queued_changes: int = 10_000
    max_queued_change_bytes: int = 64_000_000
    max_queued_bytes: int = 16_000_000
    max_concurrent_users: int | None = None
    max_joins_per_second: int | None = None
    max_events_per_second: int | None = None
    max_presence_events_per_second: int | None = None
    presence_calls: int | None = 5
    presence_window_s: float = 30.0
    publication: str = "supabase_realtime"
    messages_publication: str = "supabase_realtime_messages_publication"
    publication_check_s: float = 5.0
    replication_ready_timeout_s: float = 60.0
    private_only: bool = False
    presence_enabled: bool = False

    @property
    def max_payload_bytes(self) -> int:
        """Largest payload in bytes of JSON, with the allowance the real server makes."""
        return self.max_payload_kb * 1000 + 500
