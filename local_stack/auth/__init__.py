"""The stack's GoTrue-compatible auth server: users, sessions, tokens."""
