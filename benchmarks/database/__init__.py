"""What the SQL costs: portal reads, the RPCs of the feed, the feed on the write path."""
