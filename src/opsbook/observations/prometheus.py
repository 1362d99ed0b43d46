"""What Prometheus and Alertmanager know."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.system import System
from opsbook.book.units import DURATION_UNITS, Dimension
from opsbook.connectors.contract import Fact, ReadFailed
from opsbook.connectors.metrics_text import aggregate
from opsbook.connectors.prometheus import (
    AlertmanagerConnector,
    MonitoringConnector,
    PrometheusConnector,
    Series,
    finite,
)
from opsbook.observations.registry import Absent, observation

MOST_ROWS = 20


class QueryParameters(Parameters):
    """A PromQL query."""

    query: str = Field(min_length=1, description="PromQL that yields a scalar or an instant vector")
    take: Literal["only", "max", "min", "sum", "avg"] = Field(
        "only", description="the value of several series; `only` refuses more than one"
    )


class DurationQueryParameters(QueryParameters):
    """A query for a duration."""

    unit: Literal["ms", "s", "m", "h", "d"] = Field("s", description="unit of what the query yields")


class RatioQueryParameters(QueryParameters):
    """A query for a ratio."""

    percent: bool = Field(False, description="the query yields 0 to 100 and not 0 to 1")


async def up(server: MonitoringConnector) -> Fact:
    """Whether it is ready to answer."""
    answer = await server.ready()
    return Fact(answer.status == 200, {"url": answer.url}, answer.text.strip()[:200] or answer.words)


observation("prometheus.up", Dimension.STATE, of="prometheus", vital=True, critical="is down",
            doc="Whether Prometheus is ready to answer queries.")(up)  # fmt: skip
observation("alertmanager.up", Dimension.STATE, of="alertmanager", vital=True, critical="is down",
            doc="Whether Alertmanager is ready.")(up)  # fmt: skip


async def value(prometheus: PrometheusConnector, said: QueryParameters, scale: float = 1.0) -> Fact:
    """The value of a query. Raises Absent where there is no series or no number."""
    found = await prometheus.query(said.query)
    rows = [{"series": one.name, "value": one.value if finite(one.value) else str(one.value)} for one in found]
    numbers = [one for one in found if finite(one.value)]
    if not found:
        raise Absent("the query finds no series")
    if not numbers:
        raise Absent(f"the query yields {found[0].value}: there was nothing to divide by or to count")
    return Fact(_take(numbers, said.take) * scale, rows[:MOST_ROWS])


def _take(found: list[Series], how: str) -> float:
    values = [one.value for one in found]
    if how == "only" and len(values) > 1:
        raise ReadFailed(f"the query yields {len(values)} series, such as {found[0].name} and {found[1].name};"
                         " aggregate it, or say `take`: max, min, sum or avg")  # fmt: skip
    return aggregate(values, how)


@observation("prometheus.query", Dimension.COUNT, of="prometheus", parameters=QueryParameters, cost=Cost.MODERATE,
             doc="The number that a PromQL query yields.")  # fmt: skip
async def query(prometheus: PrometheusConnector, said: QueryParameters) -> Fact:
    return await value(prometheus, said)


@observation("prometheus.ratio", Dimension.RATIO, of="prometheus", parameters=RatioQueryParameters,
             cost=Cost.MODERATE, doc="The ratio that a PromQL query yields.")  # fmt: skip
async def ratio(prometheus: PrometheusConnector, said: RatioQueryParameters) -> Fact:
    return await value(prometheus, said, 0.01 if said.percent else 1.0)


@observation("prometheus.duration", Dimension.DURATION, of="prometheus", parameters=DurationQueryParameters,
             cost=Cost.MODERATE, doc="The duration that a PromQL query yields.")  # fmt: skip
async def duration(prometheus: PrometheusConnector, said: DurationQueryParameters) -> Fact:
    return await value(prometheus, said, DURATION_UNITS[said.unit])


@observation("prometheus.size", Dimension.SIZE, of="prometheus", parameters=QueryParameters, cost=Cost.MODERATE,
             doc="The bytes that a PromQL query yields.")  # fmt: skip
async def size(prometheus: PrometheusConnector, said: QueryParameters) -> Fact:
    return await value(prometheus, said)


@observation("prometheus.rate", Dimension.RATE, of="prometheus", parameters=QueryParameters, cost=Cost.MODERATE,
             doc="The events per second that a PromQL query yields.")  # fmt: skip
async def rate(prometheus: PrometheusConnector, said: QueryParameters) -> Fact:
    return await value(prometheus, said)


class AlertParameters(Parameters):
    """Which alerts."""

    labels: dict[str, str] = Field({}, description="labels that an alert must carry, e.g. {severity: critical}")


def _counted(system: System, alerts: list[tuple[dict[str, str], str]], said: AlertParameters) -> Fact:
    own = [said.labels.items() <= labels.items() and not _is_of(system, labels, said) for labels, _ in alerts]
    fitting = [one for one, counts in zip(alerts, own, strict=True) if counts]
    rows = [{"alert": labels.get("alertname", ""), "labels": labels, "since": since} for labels, since in fitting]
    names = sorted({labels.get("alertname", "?") for labels, _ in fitting})
    return Fact(float(len(fitting)), rows[:MOST_ROWS], ", ".join(names[:10]))


def _is_of(system: System, labels: dict[str, str], said: AlertParameters) -> bool:
    """Whether an alert is that of a check of this book, by a rule that was generated of it: it is told already."""
    here = {"system": system.model.system, "environment": system.name}
    named = labels.get("check", "") in {check.id for check in system.checks} and "check" not in said.labels
    return named and all(labels.get(name, value) == value for name, value in here.items())


@observation("prometheus.firing_alerts", Dimension.COUNT, of="prometheus", parameters=AlertParameters, warning="> 0",
             doc="Alerts that fire by Prometheus' rules, silenced ones too, not of the book's own.")  # fmt: skip
async def firing_alerts(prometheus: PrometheusConnector, said: AlertParameters) -> Fact:
    alerts = await prometheus.alerts()
    return _counted(
        prometheus.system, [(a["labels"], a.get("activeAt", "")) for a in alerts if a["state"] == "firing"], said
    )


@observation("alertmanager.alerts", Dimension.COUNT, of="alertmanager", parameters=AlertParameters, warning="> 0",
             doc="Alerts that Alertmanager holds and nothing silences, not of the book's own.")  # fmt: skip
async def alerts(alertmanager: AlertmanagerConnector, said: AlertParameters) -> Fact:
    found = await alertmanager.alerts()
    return _counted(alertmanager.system, [(a["labels"], a.get("startsAt", "")) for a in found], said)


class TargetParameters(Parameters):
    """Which targets."""

    job: str = Field("", description="only targets of this job")
    instance: str = Field("", description="only the target of this instance")


@observation("prometheus.targets_down", Dimension.COUNT, of="prometheus", parameters=TargetParameters,
             critical="> 0", doc="Targets that Prometheus cannot scrape.")  # fmt: skip
async def targets_down(prometheus: PrometheusConnector, said: TargetParameters) -> Fact:
    found = _targets(await prometheus.targets(), said)
    down = [one for one in found if one["health"] == "down"]
    rows = [{"job": one["labels"].get("job"), "instance": one["labels"].get("instance"),
             "health": one["health"], "error": one.get("lastError", "")} for one in found]  # fmt: skip
    message = "; ".join(f"{one['labels'].get('instance')}: {one.get('lastError', '')}" for one in down[:5])
    return Fact(float(len(down)), rows[:MOST_ROWS], message or f"{len(found)} targets")


@observation("prometheus.target_up", Dimension.STATE, of="prometheus", parameters=TargetParameters,
             critical="is down", doc="Whether every target that is meant was scraped the last time.")  # fmt: skip
async def target_up(prometheus: PrometheusConnector, said: TargetParameters) -> Fact:
    found = _targets(await prometheus.targets(), said)
    waiting = [one for one in found if one["health"] == "unknown"]
    down = [one for one in found if one["health"] == "down"]
    if waiting and not down:
        raise Absent("the target has not been scraped yet")
    return Fact(not down, message="; ".join(str(one.get("lastError", "")) for one in down[:5]))


def _targets(found: list[dict[str, Any]], said: TargetParameters) -> list[dict[str, Any]]:
    def fits(labels: dict[str, str]) -> bool:
        return said.job in ("", labels.get("job")) and said.instance in ("", labels.get("instance"))

    chosen = [one for one in found if fits(one["labels"])]
    if not chosen:
        jobs = sorted({str(one["labels"].get("job")) for one in found})
        raise Absent("Prometheus scrapes no such target; its jobs are " + (", ".join(jobs) or "none"))
    return chosen
