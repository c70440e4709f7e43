"""Live changes for staff tools, as server-sent events."""
