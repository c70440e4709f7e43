"""One module per group of commands; each offers `register(app)`.

Heavy imports stay inside the commands, so that `portalctl --help` is quick.
"""
