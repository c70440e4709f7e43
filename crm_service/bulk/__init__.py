"""Many rows in one request: bulk calls and CSV; stands on top of the slices."""
