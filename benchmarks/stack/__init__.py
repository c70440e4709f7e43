"""Benchmarks of the stack as a whole: start, stop, memory, fresh databases."""
