"""Jobs: schedule, reschedule, start, complete, cancel."""
