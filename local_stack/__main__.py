"""`python -m local_stack`: say which command starts the stack."""

import sys

if __name__ == "__main__":
    sys.exit("The local stack is started with `portalctl up`; see `portalctl up --help`.")
