"""Benchmarks of the local REST server."""
