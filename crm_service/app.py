"""``create_app``: settings in, application out; the only place where the parts are put together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from crm_service import health
from crm_service.access import StaffCheck
from crm_service.admission import Admission
from crm_service.analytics.routes import router as analytics
from crm_service.auth import TokenVerifier
from crm_service.bulk.routes import router as bulk
from crm_service.calls.routes import router as calls
from crm_service.customers.routes import router as customers
from crm_service.database import Database, create_http_client, create_wire
from crm_service.dependencies import Services
from crm_service.events.realtime import Realtime
from crm_service.events.rooms import router as rooms
from crm_service.events.routes import router as events
from crm_service.fast_path import FastPath
from crm_service.history.routes import router as history
from crm_service.imports.exports import router as exports
from crm_service.imports.routes import router as imports
from crm_service.invoices.routes import router as invoices
from crm_service.jobs.assignments import router as job_assignments
from crm_service.jobs.routes import router as jobs
from crm_service.leads.routes import router as leads
from crm_service.limits import BodyLimit
from crm_service.loyalty.routes import router as loyalty
from crm_service.messages.routes import router as messages
from crm_service.metrics import Metrics
from crm_service.openapi import install_openapi
from crm_service.problems import describe, install_problem_handlers
from crm_service.protection import SecurityHeaders
from crm_service.request_context import RequestContext
from crm_service.secrets.routes import router as secrets
from crm_service.settings import Settings
from crm_service.signing_keys import SigningKeys
from crm_service.staff.routes import router as staff
from crm_service.strictness import Strictness
from crm_service.wire import Wire

_SLICES = (
    customers,
    leads,
    calls,
    jobs,
    job_assignments,
    invoices,
    messages,
    loyalty,
    secrets,
    staff,
    history,
    analytics,
    bulk,
    events,
    rooms,
    imports,
    exports,
)

# What any operation may answer, besides its own problems.
_EVERYWHERE = (400, 401, 403, 408, 413, 415, 422, 429, 503, 504)

_CORS_REQUEST_HEADERS = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "Last-Event-ID",
    "X-Request-Id",
]
_CORS_ANSWER_HEADERS = [
    "ETag",
    "Idempotency-Replayed",
    "Location",
    "Retry-After",
    "X-Merged-Fields",
    "X-Problem",
    "X-Request-Id",
]

_DESCRIPTION = """Everything staff do for customers. Each request runs in the database as the
signed-in member of staff, under row-level security; customers' portals see the effect at once.

* Sign in at Supabase Auth and send `Authorization: Bearer <access token>`.
* A row's `version` is its `ETag`. Changes say which version they are based on (`If-Match`, or
  `version` in the body); a stale one is refused together with the row as it is.
* Choose ids (or send `Idempotency-Key`) and repeat a creation safely: one effect, same answer.
* Errors are problem details (RFC 9457): compare `type`, read `detail`, quote `request_id`.
"""


class Service(FastAPI):
    """A FastAPI application with layers around it.

    Middleware stands within FastAPI's own layers. These stand around them, so that what
    ``FastPath`` serves passes ours alone.

    Attributes:
        entrance: The outermost layer; the innermost one calls ``serve``.
        services: What lives as long as the lifespan.
    """

    entrance: ASGIApp
    services: Services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, or the lifespan."""
        scope["app"] = self
        await self.entrance(scope, receive, send)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle what the layers let through, as FastAPI does."""
        await super().__call__(scope, receive, send)


def create_app(settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """Build the application.

    The connections to Supabase are opened within the application's lifespan and closed with it.

    Args:
        settings: See ``Settings``.
        transport: Replaces the network towards Supabase, for tests of a failing database.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: Service) -> AsyncIterator[None]:
        async with (
            create_http_client(settings, transport) as http,
            aclosing(create_wire(settings, transport)) as wire,
        ):
            app.services = _create_services(settings, http, wire, metrics)
            yield

    app = Service(
        title="Portal Sync CRM",
        version="1",
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
        # FastAPI's spans carry path and query, and with them ids and names of customers. Numbers
        # and log lines are made here; to look for OpenTelemetry at every request costs, too.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        generate_unique_id_function=_operation_id,
    )
    app.state.metrics = metrics
    app.state.stopping = asyncio.Event()
    app.include_router(health.router)
    app.include_router(_version_1())
    install_problem_handlers(app)
    install_openapi(app)
    app.entrance = _surround(app.serve, settings, metrics)
    return app


def _surround(app: ASGIApp, settings: Settings, metrics: Metrics) -> ASGIApp:
    """Put the layers around FastAPI, from the innermost to the outermost."""
    app = FastPath(Strictness(app))
    app = Admission(app, rate=settings.rate_limit)
    if settings.origins:
        app = CORSMiddleware(
            app,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=_CORS_REQUEST_HEADERS,
            expose_headers=_CORS_ANSWER_HEADERS,
            max_age=600,
        )
    bodies = BodyLimit(
        max_bytes=settings.max_body_bytes,
        pause_s=settings.body_pause_s,
        larger={"/v1/imports/": settings.max_import_bytes},
    )
    protection = SecurityHeaders(https_only=settings.environment == "production")
    return RequestContext(app, metrics=metrics, bodies=bodies, protection=protection)


def _version_1() -> APIRouter:
    router = APIRouter(prefix="/v1", responses=describe(*_EVERYWHERE))
    for part in _SLICES:
        router.include_router(part)
    return router


def _create_services(
    settings: Settings, http: httpx.AsyncClient, wire: Wire, metrics: Metrics
) -> Services:
    database = Database(wire, settings, metrics)
    signing_keys = SigningKeys(
        http,
        f"{settings.auth_url}/.well-known/jwks.json",
        ttl_s=settings.signing_keys_ttl_s,
        retry_after_s=settings.retry_after_s,
        demo=settings.environment == "development",
    )
    verifier = TokenVerifier(
        signing_keys,
        settings.jwt_secret,
        issuer=settings.issuer,
        audience=settings.jwt_audience,
    )
    return Services(
        database,
        signing_keys,
        verifier,
        StaffCheck(database),
        Realtime(http, settings),
        settings.event_poll_s,
        settings.key_ring,
    )


def _operation_id(route: APIRoute) -> str:
    return route.name
