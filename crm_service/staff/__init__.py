"""Members of staff."""
