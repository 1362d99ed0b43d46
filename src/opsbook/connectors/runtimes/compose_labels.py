"""Labels by which a proxy finds the containers that serve: one of two sides carries them.

The labels of a container stay what they were when it was made. So who carries them is read from the containers, and
what a new one gets is what those of its service have; only where none of both sides runs the record is asked, and
before the first switch the compose file. The file itself is never written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opsbook.book.system import System
from opsbook.connectors.runtimes.compose_create import pairs
from opsbook.connectors.runtimes.compose_file import Service

if TYPE_CHECKING:
    from opsbook.connectors.runtimes.compose import Compose
    from opsbook.connectors.runtimes.compose_containers import Container

SPARE = "-before"
"""Ends the name of the container whose place a new one takes."""
INSTEAD = "opsbook.instead-of"
"""Label of a new container: the id of the one whose place it takes."""


@dataclass(frozen=True)
class Sided:
    """What the book says of a service that is one of two sides."""

    labels: Mapping[str, str]
    other: str
    """The service of the other side."""


def sided(system: System, service: str) -> Sided | None:
    """None for a service that is no side, or whose sides are told apart by something else."""
    for deploy in system.model.deploys.components.values():
        if deploy.labels and service in (deploy.blue, deploy.green):
            return Sided(deploy.labels, deploy.green if service == deploy.blue else deploy.blue)
    return None


def carries(one: Container, labels: Mapping[str, str]) -> bool:
    """Whether a proxy finds it."""
    return all(one.labels.get(key) == value for key, value in labels.items())


def serving(found: Iterable[Container], labels: Mapping[str, str]) -> bool:
    """Whether one of them runs and is found by the proxy."""
    return any(one.active and carries(one, labels) for one in found)


def declared(service: Service, labels: Mapping[str, str]) -> bool:
    """Whether the compose file gives the service the labels."""
    written = pairs(service.settings.get("labels"))
    return all((written.get(key) or "") == value for key, value in labels.items())


def given(labels: Mapping[str, str], *, carry: bool) -> dict[str, str | None]:
    """What is put over the labels of the file; None takes one away."""
    return dict(labels) if carry else dict.fromkeys(labels)


async def of_new(compose: Compose, service: Service) -> dict[str, str | None]:
    """What is put over the labels of the file where a container of this service is made; empty for what is no side."""
    side = sided(compose.system, service.name)
    if side is None:
        return {}
    found = await compose.found()
    own = [one for one in found if one.service == service.name and (one.active or one.name.endswith(SPARE))]
    if own:
        return given(side.labels, carry=any(carries(one, side.labels) for one in own))
    if serving((one for one in found if one.service == side.other), side.labels):
        return given(side.labels, carry=False)
    recorded = compose.record.carries(service.name)
    return given(side.labels, carry=declared(service, side.labels) if recorded is None else recorded)


def fits(one: Container, labels: Mapping[str, str | None]) -> bool:
    """Whether a container has what a new one would get."""
    return all(one.labels.get(key) == value for key, value in labels.items())


def fitting(found: Sequence[Container], labels: Mapping[str, str | None]) -> list[Container]:
    """Those that have what a new one would get."""
    return [one for one in found if fits(one, labels)]
