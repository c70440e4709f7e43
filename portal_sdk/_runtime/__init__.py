"""The shell around the core: tasks, sockets, HTTP, queues. Decides nothing about correctness."""
