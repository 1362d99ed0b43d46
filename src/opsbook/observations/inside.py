"""What a workload sees from inside: the names, ports and pages that its own processes would meet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Literal

from pydantic import Field, field_validator

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension
from opsbook.book.values import Duration
from opsbook.connectors.contract import Connector, Fact, ReadFailed
from opsbook.connectors.inside.look import Answer, Question, look, question_of
from opsbook.connectors.inside.policies_read import ruling_of
from opsbook.connectors.inside.reach import port_of, reached, rows
from opsbook.connectors.inside.targets import needs
from opsbook.connectors.runtimes.kubernetes import Kubernetes
from opsbook.connectors.workload import workload_name
from opsbook.errors import UsageError
from opsbook.observations.registry import Absent, observation
from opsbook.observations.workload import WORKLOAD

SHOWN = 5


class InsideParameters(Parameters):
    """From where, and how long."""

    instances: Literal["one", "every"] = Field(
        "one", description="look from one instance, the least healthy, or from every one"
    )
    within: Duration = Field(timedelta(seconds=3), gt=timedelta(0), le=timedelta(seconds=60),
                             description="how long one answer may take")  # fmt: skip

    @property
    def seconds(self) -> float:
        return self.within.total_seconds()

    @property
    def every(self) -> bool:
        return self.instances == "every"


class NameParameters(InsideParameters):
    """Which name."""

    name: str = Field(min_length=1, description="the name, as the workload writes it")

    @field_validator("name")
    @classmethod
    def _a_name(cls, value: str) -> str:
        return _checked(value, "dns")


class PortParameters(InsideParameters):
    """Which port."""

    to: str = Field(min_length=1, description="HOST:PORT as the workload writes it, or the name of a component")


class PageParameters(InsideParameters):
    """Which page."""

    url: str = Field(min_length=1, description="http://host:port/path as the workload writes it")

    @field_validator("url")
    @classmethod
    def _a_page(cls, value: str) -> str:
        return _checked(value, "http")


def _checked(value: str, way: str) -> str:
    try:
        found = question_of(value)
    except UsageError as error:
        raise ValueError(error.message) from error
    if found.way != way:
        raise ValueError({"dns": "write a bare name", "http": "write http://host:port/path"}[way])
    return value


async def _seen(connector: Connector, questions: Sequence[Question], said: InsideParameters) -> list[Answer]:
    workload = await workload_name(connector)
    found = await look(connector.connections.runtime, workload, questions, said.seconds, every=said.every)
    if all(one.ok is None for one in found):
        raise ReadFailed(found[0].words)
    return [one for one in found if one.ok is not None]


def _state(answers: Sequence[Answer]) -> Fact:
    bad = [one for one in answers if not one.ok]
    chosen = bad or list(answers[:1])
    words = "; ".join(f"from {one.instance}: {one.question.words}: {one.words}" for one in chosen[:SHOWN])
    return Fact(not bad, rows(answers), words)


@observation(
    "inside.dns", Dimension.STATE, of=WORKLOAD, parameters=NameParameters, cost=Cost.MODERATE, critical="is down",
    doc="Whether a name resolves within the workload: in its own container, with its own resolver.",
)  # fmt: skip
async def dns(connector: Connector, said: NameParameters) -> Fact:
    return _state(await _seen(connector, [question_of(said.name)], said))


@observation(
    "inside.tcp", Dimension.STATE, of=WORKLOAD, parameters=PortParameters, cost=Cost.MODERATE, critical="is down",
    doc="Whether a TCP connection opens from within the workload. Nothing is sent.",
)  # fmt: skip
async def tcp(connector: Connector, said: PortParameters) -> Fact:
    return _state(await _seen(connector, [await port_of(connector, said.to)], said))


@observation(
    "inside.http", Dimension.COUNT, of=WORKLOAD, parameters=PageParameters, cost=Cost.MODERATE, warning=">= 400",
    critical=">= 500",
    doc="The HTTP status that a GET from within the workload is answered with; of several instances the highest."
    " Certificates are not verified: `tls` components do that.",
)  # fmt: skip
async def http(connector: Connector, said: PageParameters) -> Fact:
    answers = await _pages(connector, said)
    worst = max(answers, key=lambda one: one.status or 0)
    return Fact(
        float(worst.status or 0), rows(answers), f"from {worst.instance}: {worst.words} in {worst.seconds:.3f} s"
    )


@observation(
    "inside.http_time", Dimension.DURATION, of=WORKLOAD, parameters=PageParameters, cost=Cost.MODERATE,
    doc="How long a GET from within the workload takes with name and connection; of several instances the longest.",
)  # fmt: skip
async def http_time(connector: Connector, said: PageParameters) -> Fact:
    answers = await _pages(connector, said)
    worst = max(answers, key=lambda one: one.seconds)
    return Fact(worst.seconds, rows(answers), f"from {worst.instance}: {worst.words}")


async def _pages(connector: Connector, said: PageParameters) -> list[Answer]:
    answers = await _seen(connector, [question_of(said.url)], said)
    if bad := next((one for one in answers if not one.ok), None):
        raise ReadFailed(f"from {bad.instance}: {bad.question.words}: {bad.words}")
    return answers


@observation(
    "inside.allowed", Dimension.STATE, of=WORKLOAD, parameters=PortParameters, cost=Cost.MODERATE, critical="is down",
    doc="Whether the workload may reach a port: asked from inside, beside what the network policies about both say.",
)  # fmt: skip
async def allowed(connector: Connector, said: PortParameters) -> Fact:
    question = await port_of(connector, said.to)
    runtime = connector.connections.runtime
    fact = _state(await _seen(connector, [question], said))
    if not isinstance(runtime, Kubernetes):
        return Fact(fact.value, fact.detail, f"{fact.message}; this runtime has no network policies")
    try:
        found = await ruling_of(runtime, await workload_name(connector), question.host, question.port)
    except ReadFailed as error:
        return Fact(fact.value, fact.detail, f"{fact.message}; {error.message}")
    return Fact(fact.value, fact.detail, _both(bool(fact.value), found.allowed, found.sentence, fact.message))


def _both(opens: bool, may: bool, sentence: str, seen: str) -> str:
    """What was seen and what is written, in one sentence."""
    if opens and not may:
        return f"{seen}, though the policies say {sentence}: the network does not enforce them"
    if may and not opens:
        return f"{seen}; it is not the policies: {sentence}"
    return f"{seen}; policies say {sentence}"


@observation(
    "inside.unreached", Dimension.COUNT, of=WORKLOAD, parameters=InsideParameters, cost=Cost.MODERATE, critical="> 0",
    doc="Components that it depends on and does not reach from inside: by name, port, and page where they speak HTTP.",
)  # fmt: skip
async def unreached(connector: Connector, said: InsideParameters) -> Fact:
    table = await reached(connector, needs(connector.system, connector.name), said.seconds, every=said.every)
    bad = list(dict.fromkeys(one["to"] for one in table if one["ok"] is False))
    if not any(one["ok"] is not None for one in table):
        raise Absent(str(table[0]["says"]) if table else f"{connector.name} depends on nothing that the book names")
    why = {to: next(f"{one['asked']}: {one['says']}" for one in table if one["to"] == to and one["ok"] is False)
           for to in bad}  # fmt: skip
    words = "; ".join(f"{to}: {why[to]}" for to in bad[:SHOWN])
    return Fact(float(len(bad)), table, words or "all that it needs answers from inside")
