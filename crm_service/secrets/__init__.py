"""Sensitive facts about customers: encrypted here, kept by the database, every read noted."""
