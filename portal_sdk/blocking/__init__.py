"""The portal for programs that are not asynchronous: Django, Flask, scripts.

``blocking.Portal`` runs an asynchronous portal on a thread of its own and gives the same
guarantees. It may be used from several threads. Reads take about 0.1 ms.
"""

from portal_sdk.blocking.portal import Portal
from portal_sdk.blocking.rooms import BroadcastRoom, PresenceRoom, TypingIndicator
from portal_sdk.blocking.streams import BlockingStream
from portal_sdk.blocking.tables import (
    GroupedView,
    Jobs,
    Loyalty,
    Messages,
    Profile,
    Table,
    View,
)
from portal_sdk.blocking.writes import Outbox, PendingWrite

__all__ = [
    "BlockingStream",
    "BroadcastRoom",
    "GroupedView",
    "Jobs",
    "Loyalty",
    "Messages",
    "Outbox",
    "PendingWrite",
    "Portal",
    "PresenceRoom",
    "Profile",
    "Table",
    "TypingIndicator",
    "View",
]
