"""Attempts to log in that failed."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.connectors.blocking import on_thread
from opsbook.connectors.contract import Fact
from opsbook.connectors.host import HostConnector
from opsbook.connectors.logins import failed_logins
from opsbook.observations.registry import observation

TOP = 10


class LoginParameters(Parameters):
    """Which attempts."""

    within: Duration = Field(timedelta(days=1), description="how far back")
    path: str = Field("", description="an auth log or btmp file; the machine's own record where left out")


@observation(
    "host.failed_logins",
    Dimension.COUNT,
    of="host",
    parameters=LoginParameters,
    cost=Cost.MODERATE,
    warning="> 50",
    doc="Failed log-ins within a time, from the auth log, the journal or btmp, whichever can be read. The detail has"
    " them by user and by host.",
)
async def failed(host: HostConnector, said: LoginParameters) -> Fact:
    now = datetime.now(UTC)
    path = host.system.path(said.path) if said.path else None
    where, found = await on_thread(("logins", path, said.within), failed_logins, now - said.within, now, path)
    users, hosts = Counter(one.user for one in found), Counter(one.host for one in found)
    detail = {"source": where, "by_user": dict(users.most_common(TOP)), "by_host": dict(hosts.most_common(TOP))}
    return Fact(float(len(found)), detail, f"read from {where}")
