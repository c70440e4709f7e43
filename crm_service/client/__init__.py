"""A typed client of the service for staff scripts, the demo and the tests.

One method per call of the API, on the same models; nothing is retried and nothing is cached.
"""

from crm_service.client.connection import Event, TokenSource
from crm_service.client.people import PeopleCalls
from crm_service.client.records import RecordCalls
from crm_service.client.work import WorkCalls


class CrmClient(PeopleCalls, WorkCalls, RecordCalls):
    """Talk to one ``crm_service`` as one member of staff.

    Every method raises ``CrmProblemError`` when the service refuses or fails, and
    ``CrmUnreachableError`` when there is no answer. Creations carry an id and an idempotency key,
    so that repeating one with the same body object is safe if it names its ``id``. Cancelling a
    write leaves open whether it took effect.
    """


__all__ = ["CrmClient", "Event", "TokenSource"]
