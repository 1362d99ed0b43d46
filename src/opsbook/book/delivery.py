"""How the system is deployed, proven to serve, and sized."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from opsbook.book.catalogue import Strict
from opsbook.book.references import Reference
from opsbook.book.values import Duration, Name, Ratio, VariableName

CPU = r"^\d+(\.\d+)?m?$"
MEMORY = r"^\d+(\.\d+)?([KMGT]i?B?|B)?$"


CHANGE_OVER = "how versions change over; a deploy refuses `recreate`: it lets both run together for a moment"

LabelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length=200)]
"""Of a container, as docker has it."""


class ConfigFiles(Strict):
    """Files of this host that hold the configuration of a component, which is deployed like a version."""

    files: tuple[str, ...] = Field(
        min_length=1,
        description="lines of KEY=VALUE where its name ends with `.env`, else a text that is deployed whole",
        examples=[["etc/api.env", "etc/api.ini"]],
    )
    check: tuple[str, ...] = Field(
        (), description="argv that must end with 0 while the new file is in its place", examples=[["nginx", "-t"]]
    )
    reload: tuple[str, ...] = Field(
        (), description="argv by which it reads them again; its workload is restarted where left out"
    )


class Deploy(Strict):
    """How one component is deployed. Of a component, what is left out is as for all."""

    strategy: Literal["rolling", "blue-green", "recreate"] | None = Field(None, description=CHANGE_OVER)
    watch: Duration | None = Field(None, description="how long a new version is watched before the old one goes")
    errors: Ratio | None = Field(None, description="share of failed requests that ends the watch with a rollback")
    latency: Duration | None = Field(None, description="95th percentile that ends the watch with a rollback")
    rollback: bool | None = Field(None, description="whether a watch that ends badly rolls back by itself")
    wait: Duration | None = Field(None, description="how long instances may take to become ready")
    drain: Duration | None = Field(None, description="how long an old instance may finish its requests")
    smoke_tests: tuple[Name, ...] | None = Field(None, description="which must pass before traffic; empty: all of it")
    checks: tuple[Name, ...] | None = Field(None, description="ids or groups of checks that must stay well meanwhile")
    image: str = Field("", description="image or package without its version", examples=["registry.example.org/api"])
    blue: str = Field("", description="workload of the blue side, for blue-green")
    green: str = Field("", description="workload of the green side, for blue-green")
    blue_url: Reference | None = Field(None, description="where the blue side itself is asked, past the proxy")
    green_url: Reference | None = Field(None, description="where the green side itself is asked")
    switch: str = Field(
        "",
        description="file by which the proxy sends traffic to a side; SWITCH.blue and SWITCH.green lie beside",
        examples=["/etc/nginx/upstream-api.conf"],
    )
    proxy: Name | None = Field(None, description="the proxy that includes it and is told to read it again")
    service: str = Field("", description="Kubernetes service whose selector sends traffic to a side; no `switch` then")
    labels: dict[LabelName, str] = Field(
        {},
        description="labels by which a proxy finds containers of compose: only those of the side that serves have "
        "them; only of a component",
        examples=[{"traefik.enable": "true"}],
    )
    config: ConfigFiles | None = Field(
        None,
        description="files of its configuration; on compose, env files and files that it mounts are known; "
        "only of a component",
    )
    wave: int = Field(0, ge=0, description="components of a lower wave are deployed first")


class Gate(Strict):
    """Something that must be true before a deploy."""

    id: Name = Field(description="its own name")
    kind: Literal["command", "url", "person", "environment"] = Field("person", description="how it is seen")
    command: tuple[str, ...] = Field((), description="argv that must end with 0; {version} is filled in")
    url: str = Field("", description="address that must answer with 2xx; {version} is filled in")
    text: str = Field("", description="what a person confirms")

    @model_validator(mode="after")
    def _complete(self) -> Gate:
        needed = {"command": self.command, "url": self.url, "person": self.text}.get(self.kind, True)
        if not needed:
            key = "text" if self.kind == "person" else self.kind
            raise ValueError(f"a gate of kind {self.kind} needs `{key}`")
        return self


class Migrations(Strict):
    """What changes the schema of the database with a version."""

    of: Name = Field("database", description="the database component")
    tool: Literal["alembic"] = Field("alembic", description="what applies them")
    config: str = Field("", description="its configuration file, from `folder`")
    folder: str = Field(
        "",
        description="where it is run, from the book's folder; {version} is filled in",
        examples=["releases/{version}"],
    )
    inside: Name | None = Field(
        None,
        description="component in whose workload it is run, from the image of the version; `folder` is in the image "
        "then. On this host where left out",
    )
    command: tuple[str, ...] = Field((), description="argv of the tool, where it is not on PATH")
    env: tuple[VariableName, ...] = Field((), description="variables of the environment's env file that it is given")
    backup_before: bool = Field(True, description="a safety backup is taken before")


class Deploys(Deploy):
    """How components are deployed, where they do not say otherwise."""

    strategy: Literal["rolling", "blue-green", "recreate"] = Field("rolling", description=CHANGE_OVER)
    watch: Duration = Field(
        timedelta(minutes=10), description="how long a new version is watched before the old one goes"
    )
    rollback: bool = Field(True, description="whether a watch that ends badly rolls back by itself")
    wait: Duration = Field(timedelta(minutes=10), description="how long instances may take to become ready")
    components: dict[Name, Deploy] = Field({}, description="what differs for a component")
    gates: tuple[Gate, ...] = Field((), description="what must be true before")
    migrations: Migrations | None = Field(None, description="how the schema changes with a version")
    checklist: Name | None = Field(None, description="the checklist whose lines are gates: checks, and acts of people")


class SmokeTest(Strict):
    """A request that proves that a component serves."""

    id: Name = Field(description="its own name")
    of: Name = Field(description="the component that is asked")
    method: Literal["GET", "HEAD", "POST"] = Field("GET", description="HTTP method")
    path: str = Field("/", description="path under the component's address")
    body: str = Field("", description="what a POST sends")
    headers: dict[str, str] = Field({}, description="further headers; values may hold ${REFERENCES}")
    status: int = Field(200, ge=100, le=599, description="the answer's status")
    contains: str = Field("", description="text that the answer holds")
    within: Duration = Field(timedelta(seconds=5), description="how long it may take")


class Amounts(Strict):
    """Processor and memory, in the runtime's own notation."""

    cpu: str = Field("", pattern=CPU + "|^$", description="cores, or thousandths with m", examples=["500m", "2"])
    memory: str = Field("", pattern=MEMORY + "|^$", description="bytes with their unit", examples=["512Mi", "2Gi"])


class Scaling(Strict):
    """How large a component should be."""

    min: int | None = Field(None, ge=0, description="fewest instances; `workload.scale` refuses fewer")
    max: int | None = Field(None, ge=1, description="most instances; `workload.scale` refuses more")
    cpu: Ratio | None = Field(None, description="processor use that an autoscaler aims at")
    memory: Ratio | None = Field(None, description="memory use that an autoscaler aims at")
    requests: Amounts = Field(Amounts(), description="what an instance is guaranteed")
    limits: Amounts = Field(Amounts(), description="what an instance may use at most")
    step: int = Field(1, ge=1, description="instances added at a time")

    @model_validator(mode="after")
    def _ordered(self) -> Scaling:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"`min` ({self.min}) is above `max` ({self.max})")
        return self
