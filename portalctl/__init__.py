"""The command line: start the stack, replay a working day, look after a project."""
