"""What a security audit asks: vulnerable and outdated packages, images, and secrets that lie open.

Each has no value where its tool is absent or cannot reach what it asks. Such a check is unknown, and says why.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from pydantic import Field

from opsbook.book.catalogue import Cost, Parameters
from opsbook.book.units import Dimension, show_duration
from opsbook.connectors.audits import debian, images, npm_packages, python_packages, secrets
from opsbook.connectors.audits.finding import NotAsked, fact_of
from opsbook.connectors.contract import Connector, Fact
from opsbook.connectors.host import HostConnector
from opsbook.connectors.inside.look import runtime_that_looks
from opsbook.connectors.runtimes.compose import Compose
from opsbook.connectors.workload import workload_name
from opsbook.observations.registry import observation
from opsbook.observations.workload import WORKLOAD

HOST = "host"
LISTING_SECONDS = 30.0


class PythonParameters(Parameters):
    """Which packages."""

    python: str = Field("", description="an interpreter whose packages are asked for; opsbook's own where left out")
    requirements: str = Field("", description="a requirements file with pinned versions, in place of an interpreter")


@observation(
    "host.vulnerable_python", Dimension.COUNT, of=HOST, parameters=PythonParameters, cost=Cost.HEAVY, warning="> 0",
    doc="Known vulnerabilities of Python packages, by pip-audit. Packages that it cannot ask for are told apart.",
)  # fmt: skip
async def vulnerable_python(host: HostConnector, said: PythonParameters) -> Fact:
    if said.requirements:
        return fact_of(await python_packages.of_requirements(host.system.path(said.requirements)))
    python = str(host.system.path(said.python)) if "/" in said.python else said.python
    return fact_of(await python_packages.of_interpreter(python or sys.executable))


class InsideParameters(Parameters):
    """Which interpreter."""

    python: str = Field("python3", min_length=1, description="the interpreter, as the workload's processes find it")


@observation(
    "workload.vulnerable_python", Dimension.COUNT, of=WORKLOAD, parameters=InsideParameters, cost=Cost.HEAVY,
    warning="> 0",
    doc="Known vulnerabilities of the Python packages that are installed where the workload runs: listed from inside,"
    " asked for by pip-audit on opsbook's host.",
)  # fmt: skip
async def vulnerable_inside(connector: Connector, said: InsideParameters) -> Fact:
    workload = await workload_name(connector)
    inside = runtime_that_looks(connector.connections.runtime)
    argv = [said.python, "-I", "-c", python_packages.LISTING]
    seen = await inside.look_inside(workload, argv, LISTING_SECONDS, instances=None, every=False)
    found = python_packages.listed(seen[0].said) if seen else []
    if not found:
        why = (seen[0].trouble or f"{said.python} told none in {seen[0].instance}") if seen else "no instance runs"
        raise NotAsked(f"the packages of {workload} cannot be listed: {why}")
    return fact_of(await python_packages.audited(found))


class NpmParameters(Parameters):
    """Which project."""

    folder: str = Field(min_length=1, description="a folder with package-lock.json")


@observation(
    "host.vulnerable_npm", Dimension.COUNT, of=HOST, parameters=NpmParameters, cost=Cost.HEAVY, warning="> 0",
    doc="Known vulnerabilities of a Node project, by `npm audit` and the versions of its lock file.",
)  # fmt: skip
async def vulnerable_npm(host: HostConnector, said: NpmParameters) -> Fact:
    return fact_of(await npm_packages.of_project(host.system.path(said.folder)))


class ImageParameters(Parameters):
    """Which image."""

    image: str = Field(min_length=1, description="its name, as a registry or the local engine knows it")


@observation(
    "host.vulnerable_image", Dimension.COUNT, of=HOST, parameters=ImageParameters, cost=Cost.HEAVY, warning="> 0",
    doc="Known vulnerabilities of an image, by trivy where it is installed.",
)  # fmt: skip
async def vulnerable_image(_host: HostConnector, said: ImageParameters) -> Fact:
    return fact_of(await images.of_image(said.image))


class SecretParameters(Parameters):
    """Where."""

    paths: tuple[str, ...] = Field((".",), min_length=1, description="files and folders, from the book's folder")
    without: tuple[str, ...] = Field((), description="regular expressions of paths that are left out")


@observation(
    "host.exposed_secrets", Dimension.COUNT, of=HOST, parameters=SecretParameters, cost=Cost.HEAVY, critical="> 0",
    doc="Secrets that lie open in files, by detect-secrets, told by place and kind, never by value. A line that ends"
    " with `pragma: allowlist secret` does not count.",
)  # fmt: skip
async def exposed_secrets(host: HostConnector, said: SecretParameters) -> Fact:
    return fact_of(await secrets.of_paths([host.system.path(one) for one in said.paths], said.without))


@observation(
    "host.outdated_packages", Dimension.COUNT, of=HOST, cost=Cost.HEAVY, warning="> 0",
    doc="Packages of Debian for which apt's lists have a newer version; the detail tells which are for security.",
)  # fmt: skip
async def outdated_packages(_host: HostConnector) -> Fact:
    return fact_of(await debian.of_this_host())


@observation(
    "workload.image_age", Dimension.DURATION, of=WORKLOAD, cost=Cost.MODERATE, warning="> 180d",
    doc="How long ago the image was built that the workload runs; of several the oldest. Only an engine of containers"
    " tells: it is not asked elsewhere.",
)  # fmt: skip
async def image_age(connector: Connector) -> Fact:
    runtime = connector.connections.runtime
    if not isinstance(runtime, Compose):
        raise NotAsked("this runtime does not tell when an image was built")
    built: dict[str, datetime] = {}
    for one in await runtime.containers(await workload_name(connector)):
        told = await runtime.api.call("inspect_image", str(one.told["Image"]))
        built[one.image] = _moment(str(told.get("Created") or ""), one.image)
    if not built:
        raise NotAsked("it has no container now")
    name, oldest = min(built.items(), key=lambda item: item[1])
    seconds = (datetime.now(UTC) - oldest).total_seconds()
    detail = {image: at.isoformat() for image, at in built.items()}
    return Fact(seconds, detail, f"{name} was built {show_duration(seconds)} ago")


def _moment(written: str, image: str) -> datetime:
    """Engines write nanoseconds, which Python does not read."""
    try:
        found = datetime.fromisoformat(f"{written[:19]}+00:00")
    except ValueError as error:
        raise NotAsked(f"{image} does not say when it was built") from error
    if found.year < 2000:
        raise NotAsked(f"{image} was built reproducibly, without a date")
    return found
