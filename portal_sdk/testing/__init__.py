"""For tests of programs that use portal_sdk: a project in memory, a manual clock, a fault proxy.

``FakeProject`` speaks the same feed protocol as the database, in the same process, without a port
or a process; its portals run the real SDK above the network. ``manual_clock`` lets minutes pass at
once. ``FaultProxy`` stands between a portal and a real project and breaks the connection.
"""

from portal_sdk.testing.clock import ManualClock, manual_clock
from portal_sdk.testing.portal import FakePortal
from portal_sdk.testing.project import FakeCustomer, FakeProject, ProjectFaults
from portal_sdk.testing.proxy import FaultProxy

__all__ = [
    "FakeCustomer",
    "FakePortal",
    "FakeProject",
    "FaultProxy",
    "ManualClock",
    "ProjectFaults",
    "manual_clock",
]
