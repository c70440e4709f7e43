"""Where rows and cursor are kept between runs."""

from portal_sdk._store.memory import MemoryStore
from portal_sdk._store.protocol import Store, StoredRows
from portal_sdk._store.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "Store", "StoredRows"]
