"""PostgREST-compatible REST: HTTP request → plan → SQL → execution → response.

``request`` and ``plan`` are pure, ``sql`` renders text and bind values, only ``execute`` holds a
connection. What is answered and what is refused is listed in ``COMPATIBILITY.md``.
"""

from local_stack.rest.config import RestConfig
from local_stack.rest.server import RestServer

__all__ = ["RestConfig", "RestServer"]
