"""Phone calls with customers."""
