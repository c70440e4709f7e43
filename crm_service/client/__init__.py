"""A typed client of the service for staff scripts, the demo and the tests.

One method per call of the API, on the same models; nothing is cached.
"""

from crm_service.client.connection import Answered, Event, TokenSource
from crm_service.client.people import PeopleCalls
from crm_service.client.problems import CrmBulkRefusedError, CrmConflictError, CrmInvalidError
from crm_service.client.records import RecordCalls
from crm_service.client.work import WorkCalls
from crm_service.errors import ClientError, CrmProblemError, CrmUnreachableError


class CrmClient(PeopleCalls, WorkCalls, RecordCalls):
    """Talk to one ``crm_service`` as one member of staff.

    Every method raises ``CrmProblemError`` when the service refuses or fails, and
    ``CrmUnreachableError`` when there is no answer. Writes carry an idempotency key: ``attempts``
    repeats them safely, ``keyed`` across restarts of a script. Cancelling a write leaves open
    whether it took effect.
    """


__all__ = [
    "Answered",
    "ClientError",
    "CrmBulkRefusedError",
    "CrmClient",
    "CrmConflictError",
    "CrmInvalidError",
    "CrmProblemError",
    "CrmUnreachableError",
    "Event",
    "TokenSource",
]
