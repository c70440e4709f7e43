"""F8, F9: policies, roles, links and users change while portals look; tokens run out."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portal_sdk import PortalConfig, TokenAuth
from portal_sdk._runtime import driver, feed_reader, rest, server_clock
from portal_sdk._runtime import tokens as token_module
from tests.faults.proxy import FaultProxy
from tests.faults.scenario import portal_of, portals_of_each_kind, shows_the_truth, truth_of
from tests.faults.witness import cached_rows
from tests.faults.world import CONFIG, ShortTokens, tokens_of
from tests.support.waiting import eventually, never

POLICY = "staff read every job, a customer the own ones"
USUAL = (
    "(customer_id = (select private.my_customer_id()) and deleted_at is null)"
    " or (select private.is_staff())"
)
TOKEN_LIFE_S = 4


@pytest.mark.soak
async def test_a_changed_policy_reaches_portals_within_a_verify_interval(
    customer: Any, proxy: FaultProxy
) -> None:
    """The feed is told nothing; the digest is: what a policy hides goes, what it shows comes."""
    for title in ("seen", "hidden soon", "seen too"):
        await customer.add_job(title)
    async with portals_of_each_kind(customer, proxy.url) as portals:
        for rule, count in ((f"title not like 'hidden%' and ({USUAL})", 2), (USUAL, 3)):
            await customer.database.execute(
                f'alter policy "{POLICY}" on public.jobs using ({rule})'
            )
            for portal in portals.values():
                await shows_the_truth(portal, customer, CONFIG.verify_interval_s * 4)
                assert len(portal.jobs) == count


@pytest.mark.soak
async def test_a_customer_who_becomes_staff_still_sees_one_slice(
    customer: Any, new_customer: Any, proxy: FaultProxy
) -> None:
    """A role change widens what ``select`` gives; the portal stays the customer's own."""
    other = await new_customer()
    await other.add_job("somebody else's")
    await customer.add_job("own")
    async with portals_of_each_kind(customer, proxy.url) as portals:
        await customer.database.execute(
            "insert into staff (user_id, full_name, email, role) values ($1, 'Jo', $2, 'agent')",
            customer.user_id, customer.email,
        )  # fmt: skip
        await customer.add_job("after the change")
        for portal in portals.values():
            await eventually(lambda portal=portal: len(portal.jobs) == 2)
            await never(
                lambda portal=portal: any(job.title == "somebody else's" for job in portal.jobs),
                CONFIG.verify_interval_s,
            )
            assert portal.status.state == "live"
        await customer.database.execute(
            "update staff set active = false where user_id = $1", customer.user_id
        )
        await customer.add_job("and back")
        for portal in portals.values():
            await shows_the_truth(portal, customer)


@pytest.mark.soak
async def test_a_revoked_customer_sees_nothing_and_a_linked_one_everything(
    customer: Any, proxy: FaultProxy
) -> None:
    """Within a verify interval of being unlinked every row is gone, from memory and status."""
    await customer.add_job("own")
    async with portals_of_each_kind(customer, proxy.url) as portals:
        link = "update customers set portal_user_id = $2 where id = $1"
        await customer.database.execute(link, customer.customer_id, None)
        for portal in portals.values():
            await eventually(
                lambda portal=portal: (
                    portal.status.state == "needs_auth" and cached_rows(portal) == {}
                ),
                CONFIG.verify_interval_s * 4,
            )
        await customer.add_job("while revoked")
        await never(lambda: any(cached_rows(portal) for portal in portals.values()), 1)
        await customer.database.execute(link, customer.customer_id, customer.user_id)
        for portal in portals.values():
            portal.resume()
            await shows_the_truth(portal, customer)


@pytest.mark.soak
async def test_a_store_never_shows_one_user_the_rows_of_another(
    customer: Any, new_customer: Any, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Two users on one file, in turn, also without a network; nothing of the other stays in it."""
    other = await new_customer()
    await customer.add_job("first-users-secret")
    await other.add_job("second users job")
    store = tmp_path / "portal.db"
    async with portal_of(customer, proxy.url, store=store) as portal:
        await portal.ready(timeout_s=30)
    proxy.is_open = False
    async with portal_of(other, proxy.url, store=store) as portal:
        await never(lambda: len(portal.jobs) > 0, 1.5)
        proxy.heal()
        await shows_the_truth(portal, other)
    assert b"first-users-secret" not in all_bytes(tmp_path)
    async with portal_of(customer, proxy.url, store=store) as portal:
        seen = [job.title for job in portal.jobs]
        assert seen == []
        await shows_the_truth(portal, customer)


@pytest.mark.soak
async def test_another_user_on_the_same_open_portal_is_never_shown_the_first_ones_rows(
    customer: Any, new_customer: Any, proxy: FaultProxy
) -> None:
    """The application's login hands out another user's token: the rows change hands."""
    other = await new_customer()
    await customer.add_job("of the first")
    await other.add_job("of the second")
    tokens = [ShortTokens(customer, TOKEN_LIFE_S), ShortTokens(other, TOKEN_LIFE_S)]

    def present_login() -> str:
        return tokens[0]()

    auth = TokenAuth(present_login)
    async with portal_of(customer, proxy.url, auth=auth) as portal:
        await shows_the_truth(portal, customer)
        del tokens[0]
        await shows_the_truth(portal, other)
        assert cached_rows(portal) == (await truth_of(other)).rows


@pytest.mark.soak
async def test_an_applications_tokens_may_run_out_for_a_while(
    customer: Any, proxy: FaultProxy
) -> None:
    """Its login server is away: not live while no token is good, live again once one is."""
    tokens = ShortTokens(customer, TOKEN_LIFE_S)
    for name in ("broadcast", "postgres_changes", "polling"):
        async with portal_of(customer, proxy.url, doorbells=name, auth=tokens_of(tokens)) as portal:
            await portal.ready(timeout_s=30)
            tokens.is_away = True
            await eventually(lambda portal=portal: portal.status.state != "live", 30)
            await customer.add_job(name)
            tokens.is_away = False
            await shows_the_truth(portal, customer)


@pytest.mark.soak
@pytest.mark.parametrize("refused", [400, 429, 500, 503])
async def test_sessions_that_run_out_during_an_auth_outage_end_in_needs_auth_or_live(
    customer: Any, proxy: FaultProxy, refused: int
) -> None:
    """Auth is away for longer than a session lives; never deaf, with every kind of doorbell."""
    with short_sessions(customer.stack):
        async with portals_of_each_kind(customer, proxy.url) as portals:
            faults = customer.stack.faults
            faults.http_paths, faults.http_refuse = ("/auth/",), refused
            for portal in portals.values():
                await eventually(lambda portal=portal: portal.status.state != "live", 30)
                assert portal.status.last_error is not None
            await customer.add_job("meanwhile")
            faults.reset()
            for portal in portals.values():
                if portal.status.state == "needs_auth":
                    portal.resume()
                await shows_the_truth(portal, customer)


def all_bytes(folder: Path) -> bytes:
    """Return what all files of a folder hold."""
    return b"".join(file.read_bytes() for file in folder.iterdir())


@contextlib.contextmanager
def short_sessions(stack: Any) -> Iterator[None]:
    """Let Auth issue sessions of seconds for a while."""
    services = stack.stack._servers._auth.server._services
    usual = services.config
    services.config = replace(usual, access_token_lifetime_s=TOKEN_LIFE_S)
    try:
        yield
    finally:
        services.config = usual


@pytest.mark.soak
@pytest.mark.parametrize("skew_s", [-300, 300])
async def test_a_clock_that_is_five_minutes_wrong_changes_nothing(
    customer: Any, proxy: FaultProxy, skew_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine's clock is wrong from the start: the session lives as long as the server says."""
    for module in (
        driver,
        feed_reader,
        rest,
        server_clock,
        token_module,
    ):  # not the stack's own clock
        monkeypatch.setattr(module, "time", WrongClock(skew_s))
    async with portal_of(customer, proxy.url, config=PortalConfig()) as portal:
        await shows_the_truth(portal, customer)
        before = proxy.statuses.total()
        await never(lambda: portal.status.state != "live", 3)
        assert proxy.statuses.total() - before < 10
        sent = await portal.messages.send("when?")
        shown = portal.messages[sent.row_id].created_at
        assert shown is not None
        assert abs(shown.timestamp() - time.time()) < 30


@pytest.mark.soak
@pytest.mark.parametrize("skew_s", [-300, 300])
async def test_an_applications_short_tokens_are_renewed_in_time_whatever_our_clock(
    customer: Any, proxy: FaultProxy, skew_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 50 to 80 % of their life: not each second, and not after the server has refused them."""
    for module in (driver, feed_reader, rest, server_clock, token_module):
        monkeypatch.setattr(module, "time", WrongClock(skew_s))
    issuer = ShortTokens(customer, 10)
    async with portal_of(customer, proxy.url, auth=tokens_of(issuer)) as portal:
        await portal.ready(timeout_s=30)
        await never(lambda: portal.status.state != "live", 16)
    assert issuer.issued_count in {3, 4, 5}


class WrongClock:
    """The module ``time`` on a machine whose clock is wrong."""

    def __init__(self, skew_s: float) -> None:
        self._skew_s = skew_s

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def time(self) -> float:
        """Return what this machine takes for the time."""
        return time.time() + self._skew_s
