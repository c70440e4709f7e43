"""Benchmarks of the Realtime server; see README.md in this folder."""
