"""Messages between staff and one customer."""
