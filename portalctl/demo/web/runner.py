"""The web demo from start to Ctrl-C: servers, two portals, the staff, the page."""

from __future__ import annotations

import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
from rich.console import Console

from crm_service.client import CrmClient
from local_stack.errors import StackError
from local_stack.listener import Listener, bind_port
from portal_sdk import PasswordAuth, Portal, PortalError
from portalctl.demo.alongside import alongside, cause_of
from portalctl.demo.errors import PortalNotReadyError
from portalctl.demo.people import PASSWORD, DemoCustomer
from portalctl.demo.proxy import CuttingProxy
from portalctl.demo.servers import crm_server, stack_server
from portalctl.demo.staff import session_of
from portalctl.demo.web.board import Board
from portalctl.demo.web.desk import Desk
from portalctl.demo.web.site import create_site
from portalctl.exits import EnvironmentUnusableError

_READY_TIMEOUT_S: Final = 45.0
_CUSTOMERS: Final = {"left": DemoCustomer(1), "right": DemoCustomer(2)}


async def run_web_demo(port: int, console: Console) -> None:
    """Serve the page until cancelled.

    Args:
        port: On 127.0.0.1; 0 for a free one.
        console: Where progress and the page's address are shown.

    Raises:
        CommandError: It could not start, or a server ended; says why.

    Cancellation:
        The way to end it. Every process and connection it started is gone when it returns.
    """
    try:
        await _run(port, console)
    except BaseExceptionGroup as group:
        raise cause_of(group) from group


async def _run(port: int, console: Console) -> None:
    try:
        bound = bind_port(port, strict=True)
    except StackError as error:
        raise EnvironmentUnusableError(str(error)) from error
    async with AsyncExitStack() as stack:
        stack.callback(bound.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-demo-")))
        console.print("demo: starting the stack, the CRM service and two portals …")
        server, project = await stack.enter_async_context(stack_server(folder))
        proxy = await stack.enter_async_context(CuttingProxy(project.url))
        service, service_url = await stack.enter_async_context(
            crm_server(folder, project, project.url)
        )
        await stack.enter_async_context(
            alongside(server.fail_when_ended(), service.fail_when_ended())
        )
        portals = {
            name: await _open(stack, customer, proxy.url, project.publishable_key)
            for name, customer in _CUSTOMERS.items()
        }
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        staff = session_of("manager", project)
        await staff.token()
        board = Board(portals, lambda: not proxy.is_down)
        site = create_site(
            board,
            Desk(CrmClient(service_url, staff.token, http=http)),
            {name: UUID(customer.customer_id) for name, customer in _CUSTOMERS.items()},
            lambda is_up: _plug(proxy, is_up=is_up),
        )
        await stack.enter_async_context(alongside(*(board.follow(name) for name in portals)))
        listener = Listener(site, bound)
        stack.push_async_callback(listener.stop)
        stack.callback(board.close)
        await listener.start()
        console.print(f"demo: open http://127.0.0.1:{bound.getsockname()[1]} — Ctrl-C ends it.")
        await listener.wait_ended()


async def _open(stack: AsyncExitStack, customer: DemoCustomer, url: str, key: str) -> Portal:
    portal = Portal(url, key, auth=PasswordAuth(customer.email, PASSWORD), store=None)
    try:
        await stack.enter_async_context(portal)
        await portal.ready(timeout_s=_READY_TIMEOUT_S)
    except PortalError as error:
        raise PortalNotReadyError(
            f"The portal of {customer.email} did not become live: {error}"
        ) from error
    return portal


def _plug(proxy: CuttingProxy, *, is_up: bool) -> None:
    if is_up:
        proxy.bring_up()
    else:
        proxy.take_down()
