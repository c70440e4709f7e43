"""``/live``: the process answers. ``/ready``: it can serve staff. ``/metrics``: how it does."""

from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from crm_service.dependencies import ServicesDep
from crm_service.metrics import CONTENT_TYPE
from crm_service.problems import describe

router = APIRouter(tags=["operations"])


class Health(BaseModel):
    """State of the service."""

    status: Literal["live", "ready"]


@router.get("/live")
async def live() -> Health:
    """Tell that the process runs."""
    return Health(status="live")


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Tell Prometheus what was measured; names of routes and codes only."""
    return Response(request.app.state.metrics.render(), media_type=CONTENT_TYPE)


@router.get("/ready", responses=describe(503))
async def ready(services: ServicesDep) -> Health:
    """Tell that PostgREST, the database's schema and the signing keys are there."""
    await services.database.probe()
    await services.signing_keys.probe()
    return Health(status="ready")
