"""The sans-I/O core: no asyncio, clock, randomness, sockets or HTTP.

Time arrives as ``now: float`` (seconds, monotonic), randomness as a callable drawing from [0, 1).
"""
