"""A thread with an event loop of its own, for servers that outlive one test's loop."""

from local_stack.background import DEFAULT_TIMEOUT_S, LoopThread

__all__ = ["DEFAULT_TIMEOUT_S", "LoopThread"]
