"""What `portalctl up` tells Python's garbage collector."""

import subprocess
import sys

PROGRAM = """
import gc
from local_stack.collector import settle_collector
loaded = [[] for _ in range(1000)]
settle_collector()
assert gc.get_freeze_count() > 1000
assert not any(each is loaded for each in gc.get_objects())
cycle = []
cycle.append(cycle)
del cycle
assert gc.collect() == 1
assert gc.get_threshold()[0] > 700
"""


def test_what_was_loaded_is_not_looked_through_and_new_cycles_are_still_found():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
