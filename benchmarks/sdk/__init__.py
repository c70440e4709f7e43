"""Benchmarks of the client library."""
