"""Leads: the sales side of a customer, and notes on it."""
