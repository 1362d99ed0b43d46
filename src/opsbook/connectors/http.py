"""HTTP services: APIs, UIs, proxies. One kept connection a component; probes that measure connecting open their own."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from opsbook.book.catalogue import Component, Strict
from opsbook.book.references import Reference
from opsbook.book.values import Duration
from opsbook.connectors.contract import Connector, ReadFailed
from opsbook.connectors.http_client import Answer, HttpClient, Trust, what_is_wrong
from opsbook.connectors.http_probe import Probe, Probing, run_probes
from opsbook.connectors.registry import connector
from opsbook.connectors.tls import TlsAddress
from opsbook.errors import UsageError


class HttpSettings(Component):
    """What everything that speaks HTTP can say of itself."""

    url: Reference = Field(description="http://host:port or https://host, where its paths start")
    health: str = Field("/health", description="path that answers 2xx while it can serve")
    metrics: str = Field("", description="path of its metrics in Prometheus' text format; empty: it has none")
    headers: dict[str, Reference] = Field({}, description="request headers, e.g. Authorization: Bearer ${TOKEN}")
    address: str = Field("", description="host or address to connect to in place of the URL's own host name")
    ca: str = Field("", description="PEM file of the CA that signed its certificate; this machine's store where empty")
    insecure: bool = Field(False, description="accept any certificate; only for what cannot have a proper one")


class HttpComponent(HttpSettings):
    """A service that speaks HTTP."""

    kind: Literal["http"]


class MaintenanceSwitch(Strict):
    """How nginx is told to answer 503 with a banner in place of the services behind it."""

    include: str = Field(
        min_length=1,
        description="file that the server's block includes, empty outside of maintenance; opsbook writes it",
    )
    config_map: str = Field(
        "",
        description="on Kubernetes, the config map that every pod of the proxy mounts, as a folder, where `include`"
        " lies; opsbook sets its key of that name",
    )
    pid_file: str = Field(
        "",
        description="file with the pid of nginx' master process, which is told to reload; left out where the proxy"
        " says how it is told (`reload`)",
    )
    check: tuple[str, ...] = Field(
        ("nginx", "-t", "-q"), min_length=1, description="command that says whether the configuration is valid"
    )
    retry_after: Duration = Field(timedelta(minutes=10), description="when clients are told to come again")
    path: str = Field("/", description="path by which it is seen that the banner is served")


class ProxyReload(Strict):
    """How a proxy in a container is told to read its files again: commands that are run in its workload."""

    check: tuple[str, ...] = Field(("nginx", "-t", "-q"), description="says whether the configuration is valid")
    command: tuple[str, ...] = Field(("nginx", "-s", "reload"), min_length=1, description="makes it read them again")


class HaproxyMapSettings(Strict):
    """A map of HAProxy by which requests are sent to a side; its entries are set without a reload."""

    socket: str = Field(min_length=1, description="its `stats socket` of level admin")
    map: str = Field("", description="the map's name in HAProxy; the path of `switch` where left out")


class ProxyComponent(HttpSettings):
    """A proxy or load balancer in front of services, such as nginx or HAProxy."""

    kind: Literal["proxy"]
    health: str = Field("/", description="path that it answers, or passes on")
    status: str = Field("", description="path or URL of nginx' stub_status page")
    maintenance: MaintenanceSwitch | None = Field(None, description="how it is put in maintenance, where it can be")
    reload: ProxyReload | None = Field(None, description="how it reads its files again, where it runs in a container")
    haproxy: HaproxyMapSettings | None = Field(None, description="the map by which HAProxy switches sides")

    @model_validator(mode="after")
    def _told(self) -> ProxyComponent:
        if self.maintenance is not None and not self.maintenance.pid_file and self.reload is None:
            raise ValueError("`maintenance` needs a `pid_file`, or the proxy a `reload`: else nginx reads nothing anew")
        if self.maintenance is not None and self.maintenance.config_map and self.reload is None:
            raise ValueError("`maintenance.config_map` needs the proxy's `reload`: commands that are run in its pods")
        return self


@connector(HttpComponent)
@connector(ProxyComponent)
class HttpConnector(Connector):
    """Talks to one service."""

    component: HttpSettings
    _client: HttpClient | None = None

    @property
    def client(self) -> HttpClient:
        """The client, with the references of its headers resolved."""
        if self._client is None:
            settings, resolve = self.component, self.system.resolve
            ca = self.system.path(settings.ca) if settings.ca else None
            headers = {name: resolve(value) for name, value in settings.headers.items()}
            address = resolve(Reference(settings.address)) if settings.address else ""
            self._client = HttpClient(resolve(settings.url), headers, Trust(ca, settings.insecure), address)
        return self._client

    async def get(self, path: str) -> Answer:
        """The answer to a GET of a path, asked once for all facts of a sweep. Raises Unreachable."""
        return await self.once(("GET", path), lambda: self.client.get(path))

    async def health(self) -> Answer:
        """The answer of its health path."""
        return await self.get(self.component.health)

    async def metrics_page(self) -> str:
        """Its metrics as text. Raises ReadFailed where it has none."""
        if not self.component.metrics:
            raise ReadFailed(f"{self.name} has no metrics", f"set `metrics` of {self.name} to their path")
        return _page(await self.get(self.component.metrics))

    async def metrics_twice(self, apart: float) -> tuple[str, str, float]:
        """Two pages of metrics and the seconds between them, for what only grows. Asked once for all facts."""
        return await self.once(("metrics twice", apart), lambda: self._metrics_twice(apart))

    async def _metrics_twice(self, apart: float) -> tuple[str, str, float]:
        clock = asyncio.get_running_loop().time
        first, started = await self.metrics_page(), clock()
        await asyncio.sleep(apart)
        second = _page(await self.client.get(self.component.metrics))
        return first, second, clock() - started

    async def probe(self, probing: Probing, seconds: float) -> list[Probe]:
        """Timed exchanges, begun as long as the seconds last."""
        return await self.once((probing, seconds), lambda: run_probes(self.client, probing, seconds))

    def tls_address(self) -> TlsAddress:
        """Where its certificate is served. Raises ReadFailed for plain HTTP, and UsageError."""
        url = self.system.resolve(self.component.url)
        if wrong := what_is_wrong(url):
            raise UsageError(f"its `url` is not an address: {wrong}", "write https://host")
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname:
            raise ReadFailed(f"{self.name} is not served over TLS", "its `url` would begin with https://")
        settings = self.component
        return TlsAddress(
            host=self.system.resolve(Reference(settings.address)) if settings.address else parts.hostname,
            port=parts.port or 443,
            server_name=parts.hostname,
            ca=self.system.path(settings.ca) if settings.ca else None,
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


def _page(answer: Answer) -> str:
    if answer.status != 200:
        raise ReadFailed(f"{answer.url} answers {answer.words} in place of metrics")
    if not answer.complete:
        raise ReadFailed(f"{answer.url} is longer than what is read of one page of metrics")
    return answer.text
