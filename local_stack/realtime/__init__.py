"""A Realtime server that speaks the protocol of Supabase Realtime 2.129.

``RealtimeServer`` is an ASGI application with ``start`` and ``stop``; see COMPATIBILITY.md for
what is covered, point by point. Everything runs in one event loop.
"""

from local_stack.realtime.config import RealtimeConfig
from local_stack.realtime.server import RealtimeServer

__all__ = ["RealtimeConfig", "RealtimeServer"]
