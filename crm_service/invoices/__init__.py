"""Invoices: draft with items, send, pay, void."""
