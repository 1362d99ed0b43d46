"""A proxy in front of services, by nginx' stub_status page."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass

from opsbook.book.units import Dimension
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.http import HttpConnector, ProxyComponent
from opsbook.observations.registry import observation

_PAGE = re.compile(
    r"Active connections:\s*(\d+)\s+server accepts handled requests\s+(\d+)\s+(\d+)\s+(\d+)\s+"
    r"Reading:\s*(\d+)\s+Writing:\s*(\d+)\s+Waiting:\s*(\d+)"
)


@dataclass(frozen=True)
class ProxyStatus:
    """The figures of the page, since nginx was started. Format: ngx_http_stub_status_module."""

    active: int
    accepted: int
    handled: int
    requests: int
    reading: int
    writing: int
    waiting: int


def parse_status(page: str) -> ProxyStatus:
    """Raises ReadFailed for another page."""
    found = _PAGE.search(page)
    if not found:
        raise ReadFailed(
            "the status page is not nginx' stub_status page", "enable stub_status at `status` of the proxy"
        )
    return ProxyStatus(*map(int, found.groups()))


async def status(proxy: HttpConnector) -> ProxyStatus:
    """The page, asked once for all facts of a sweep."""
    settings = proxy.component
    assert isinstance(settings, ProxyComponent)
    if not settings.status:
        raise ReadFailed(f"{proxy.name} has no status page", f"set `status` of {proxy.name} to that of stub_status")
    answer = await proxy.get(settings.status)
    if answer.status != 200:
        raise ReadFailed(f"{answer.url} answers {answer.words}")
    return parse_status(answer.text)


@observation("proxy.connections", Dimension.COUNT, of="proxy", doc="Connections that clients hold, idle ones too.")
async def connections(proxy: HttpConnector) -> Fact:
    found = await status(proxy)
    return Fact(float(found.active), asdict(found), f"{found.writing} answered, {found.waiting} idle")


@observation("proxy.dropped", Dimension.COUNT, of="proxy", warning="> 0",
             doc="Connections that were accepted and dropped for lack of workers.")  # fmt: skip
async def dropped(proxy: HttpConnector) -> Fact:
    found = await status(proxy)
    return Fact(float(found.accepted - found.handled), asdict(found))
