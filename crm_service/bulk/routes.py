"""HTTP of bulk calls."""

from fastapi import APIRouter, Response

from crm_service.bulk.kinds import KINDS, BulkKind
from crm_service.bulk.schemas import BulkRequest, BulkResult, summarise
from crm_service.bulk.writing import write_items
from crm_service.dependencies import WriterDep, say_replayed
from crm_service.problems import describe

router = APIRouter(tags=["bulk"])


@router.post("/bulk/{kind}", responses=describe(409))
async def create_in_bulk(
    writer: WriterDep, response: Response, kind: BulkKind, body: BulkRequest
) -> BulkResult:
    """Create up to 1,000 rows; each is reported on, all or none with ``atomic``."""
    written = await write_items(writer, KINDS[kind], body.items, atomic=body.atomic)
    if written.replayed:
        say_replayed(response)
    return summarise(written.results)
