"""Prometheus and Alertmanager, by their HTTP APIs."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode

from pydantic import Field

from opsbook.book.catalogue import Component
from opsbook.book.references import Reference
from opsbook.connectors.contract import Connector, ReadFailed
from opsbook.connectors.http_client import Answer, HttpClient, Trust
from opsbook.connectors.registry import connector
from opsbook.errors import Unreachable

FORM = {"content-type": "application/x-www-form-urlencoded"}


class MonitoringSettings(Component):
    """What both servers need."""

    url: Reference = Field(description="where its API starts, e.g. http://prometheus:9090")
    headers: dict[str, Reference] = Field({}, description="request headers, e.g. Authorization: Bearer ${TOKEN}")
    address: str = Field("", description="host or address to connect to in place of the URL's own host name")
    ca: str = Field("", description="PEM file of the CA that signed its certificate; this machine's store where empty")


class PrometheusComponent(MonitoringSettings):
    """A Prometheus server, or what speaks its API."""

    kind: Literal["prometheus"]


class AlertmanagerComponent(MonitoringSettings):
    """An Alertmanager."""

    kind: Literal["alertmanager"]


@dataclass(frozen=True)
class Series:
    """One series of an instant query."""

    labels: dict[str, str]
    value: float

    @property
    def name(self) -> str:
        """As PromQL writes it."""
        inside = ", ".join(f'{key}="{value}"' for key, value in self.labels.items() if key != "__name__")
        return self.labels.get("__name__", "") + (f"{{{inside}}}" if inside else "")


class MonitoringConnector(Connector):
    """One kept connection to the server's API."""

    component: MonitoringSettings
    _client: HttpClient | None = None

    @property
    def client(self) -> HttpClient:
        if self._client is None:
            settings, resolve = self.component, self.system.resolve
            headers = {name: resolve(value) for name, value in settings.headers.items()}
            ca = self.system.path(settings.ca) if settings.ca else None
            address = resolve(Reference(settings.address)) if settings.address else ""
            self._client = HttpClient(resolve(settings.url), headers, Trust(ca), address)
        return self._client

    async def ready(self) -> Answer:
        """The answer of its readiness page, asked once for all facts of a sweep."""
        return await self.once("ready", lambda: self.client.get("/-/ready"))

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


@connector(PrometheusComponent)
class PrometheusConnector(MonitoringConnector):
    """Asks a Prometheus."""

    async def query(self, expression: str) -> list[Series]:
        """The series of an instant query; a scalar is one series without labels. Raises ReadFailed in its words."""
        return await self.once(("query", expression), lambda: self._query(expression))

    async def _query(self, expression: str) -> list[Series]:
        form = urlencode({"query": expression}).encode()
        data = _data(await self.client.send("POST", "/api/v1/query", form, FORM))
        kind, result = data["resultType"], data["result"]
        if kind == "scalar":
            return [Series({}, float(result[1]))]
        if kind != "vector":
            raise ReadFailed(f"the query yields a {kind}; a check needs an instant vector or a scalar")
        return [Series(one["metric"], float(one["value"][1])) for one in result if "value" in one]

    async def alerts(self) -> list[dict[str, Any]]:
        """Its pending and firing alerts."""
        found: list[dict[str, Any]] = (await self._get("/api/v1/alerts"))["alerts"]
        return found

    async def alert_rules(self) -> list[tuple[str, str]]:
        """Name and group of every alert rule that it has loaded."""
        groups = (await self._get("/api/v1/rules?type=alert"))["groups"]
        return [(str(rule["name"]), str(group["name"])) for group in groups for rule in group["rules"]]

    async def targets(self) -> list[dict[str, Any]]:
        """What it scrapes."""
        found: list[dict[str, Any]] = (await self._get("/api/v1/targets?state=active"))["activeTargets"]
        return found

    async def _get(self, path: str) -> Any:
        async def ask() -> Any:
            return _data(await self.client.get(path))

        return await self.once(path, ask)


@connector(AlertmanagerComponent)
class AlertmanagerConnector(MonitoringConnector):
    """Asks an Alertmanager."""

    async def alerts(self) -> list[dict[str, Any]]:
        """Its active alerts that nothing silences or inhibits."""
        return await self.once("alerts", self._alerts)

    async def _alerts(self) -> list[dict[str, Any]]:
        answer = await self.client.get("/api/v2/alerts?active=true&silenced=false&inhibited=false")
        if answer.status != 200:
            raise ReadFailed(f"{answer.url} answers {answer.words}: {answer.text[:200].strip()}")
        found: list[dict[str, Any]] = answer.json()
        return found

    async def held(self) -> list[dict[str, Any]]:
        """Every alert that it holds now, silenced and inhibited ones too. Asked anew each time."""
        return self._list(await self.client.get("/api/v2/alerts"))

    async def silences(self) -> list[dict[str, Any]]:
        """Its silences, those that are over for a while too. Asked anew each time."""
        return self._list(await self.client.get("/api/v2/silences"))

    async def set_silence(self, silence: dict[str, Any]) -> str:
        """Make a silence, or change the one whose `id` it has; the id that it has from now on. Raises ReadFailed."""
        content = json.dumps(silence).encode()
        answer = await self.client.send("POST", "/api/v2/silences", content, {"content-type": "application/json"})
        found = answer.json() if answer.status == 200 else None
        if not isinstance(found, dict) or not found.get("silenceID"):
            raise ReadFailed(f"{answer.url} answers {answer.words}: {answer.text[:200].strip()}")
        return str(found["silenceID"])

    async def end_silence(self, silence: str) -> None:
        """End a silence; one that is over or unknown stays so. Raises ReadFailed."""
        answer = await self.client.send("DELETE", f"/api/v2/silence/{quote(silence, safe='')}")
        if answer.status not in (200, 404) and "expired" not in answer.text:
            raise ReadFailed(f"{answer.url} answers {answer.words}: {answer.text[:200].strip()}")

    @staticmethod
    def _list(answer: Answer) -> list[dict[str, Any]]:
        found = answer.json() if answer.status == 200 else None
        if not isinstance(found, list):
            raise ReadFailed(f"{answer.url} answers {answer.words}: {answer.text[:200].strip()}")
        return found


def _data(answer: Answer) -> Any:
    """The `data` of an API answer. Raises ReadFailed in Prometheus' own words."""
    if answer.status in (502, 503, 504):
        raise Unreachable(f"{answer.url} answers {answer.words}", "is Prometheus still starting?")
    if answer.status in (401, 403):
        raise Unreachable(f"{answer.url} answers {answer.words}", "correct `headers` of the component")
    found = answer.json()
    if not isinstance(found, dict) or "status" not in found:
        raise ReadFailed(f"{answer.url} is not the API of a Prometheus")
    if found["status"] != "success":
        raise ReadFailed(f"Prometheus says: {found.get('error', answer.words)}")
    return found["data"]


def finite(value: float) -> bool:
    """Whether a sample is a number; Prometheus writes NaN where it divided by nothing."""
    return not (math.isnan(value) or math.isinf(value))
