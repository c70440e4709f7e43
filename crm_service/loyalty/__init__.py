"""Loyalty points: an append-only ledger with a balance."""
