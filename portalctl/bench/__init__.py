"""`portalctl bench`: run the benchmarks of a clone and hold them against the targets."""
