"""Who changed what: history, diffs, restore, activity."""
