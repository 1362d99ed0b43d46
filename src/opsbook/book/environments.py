"""Where a system runs, and what its policies ask there."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from opsbook.book.catalogue import Strict
from opsbook.book.people import Level, Role
from opsbook.book.references import Reference
from opsbook.book.values import Duration, Name

KIND = Field(description="what holds the workloads")


class SupervisorRuntime(Strict):
    """Workloads held by supervisord on this host or over its HTTP port."""

    kind: Literal["supervisor"] = KIND
    config: str = Field(
        "",
        description="path of supervisord.conf; its socket and programs are read from it",
        examples=["supervisord.conf"],
    )
    url: Reference | None = Field(
        None, description="unix:///path/to.sock or http://user:password@host:port, instead of `config`"
    )
    releases: str = Field("", description="folder of release directories; a version is one of them")
    current: str = Field("", description="symlink to the release that runs")


class ComposeRuntime(Strict):
    """Workloads held by Docker Compose."""

    kind: Literal["compose"] = KIND
    file: str = Field("compose.yaml", description="path of the compose file")
    project: str = Field("", description="name of the compose project; that of the folder where left out")
    host: str = Field("", description="address of the Docker API, where it is not the default one")


class KubernetesRuntime(Strict):
    """Workloads held by Kubernetes."""

    kind: Literal["kubernetes"] = KIND
    namespace: str = Field(description="the namespace of the system")
    context: str = Field("", description="context of the kubeconfig; the current one where left out")
    kubeconfig: str = Field("", description="path of a kubeconfig; the usual places where left out")


class NoRuntime(Strict):
    """Nothing holds the workloads that opsbook could ask."""

    kind: Literal["none"] = KIND


Runtime = Annotated[SupervisorRuntime | ComposeRuntime | KubernetesRuntime | NoRuntime, Field(discriminator="kind")]


class RiskPolicy(Strict):
    """What one risk needs before it may happen."""

    roles: tuple[Role, ...] = Field(
        (), description="roles of `access` that may ask for it; empty: everybody who may run anything"
    )
    approvers: tuple[Role, ...] = Field(("operator", "admin"), description="roles that may approve it")
    approvals: int = Field(0, ge=0, description="persons other than the requester who must approve the plan")
    window: bool = Field(False, description="only inside a maintenance window")
    backup_within: Duration | None = Field(None, description="only with a verified backup younger than this")
    confirm: bool = Field(False, description="the name of the environment must be typed")
    unattended: bool = Field(
        False,
        description="opsbook may do it by itself, when a schedule or an alert of the book asks for it: without"
        " approval, at any time",
    )


class Policy(Strict):
    """Rules of one environment, by risk."""

    read: RiskPolicy = Field(RiskPolicy(), description="what looking needs")
    safe: RiskPolicy = Field(RiskPolicy(), description="what a change that nobody notices needs")
    disruptive: RiskPolicy = Field(RiskPolicy(), description="what a change that users may notice needs")
    destructive: RiskPolicy = Field(RiskPolicy(), description="what a change that cannot be taken back needs")
    break_glass: tuple[Role, ...] = Field((), description="roles that may pass approvals and windows with a reason")
    load_tests: bool = Field(False, description="load tests are allowed, though the environment is not disposable")
    approval_lasts: Duration = Field(timedelta(hours=4), description="after which an approval is void")
    procedures: dict[Name, RiskPolicy] = Field(
        {}, description="procedures that need something else than their risk says"
    )


OPEN = Policy()
STRICT = Policy(
    disruptive=RiskPolicy(approvals=1),
    destructive=RiskPolicy(approvals=1, window=True, confirm=True),
    break_glass=("operator", "admin"),
)
BUILT_IN_POLICIES = {"open": OPEN, "strict": STRICT}


class Environment(Strict):
    """One place where the system runs."""

    description: str = Field("", description="one line for people")
    runtime: Runtime = Field(NoRuntime(kind="none"), description="what holds the workloads")
    policy: Name = Field("strict", description="`open`, `strict`, or a name of `policies`")
    disposable: bool = Field(False, description="may be broken and thrown away: rehearsals and faults are allowed")
    env_file: str = Field(
        "", description="file of KEY=VALUE lines for references; the process environment wins over it"
    )
    after: Name | None = Field(None, description="an environment in which a deploy must have been seen first")
    components: dict[Name, dict[str, object]] = Field({}, description="keys of components that differ here")
    checks: dict[Name, dict[str, object]] = Field({}, description="keys of checks that differ here, by check id")
    backups: dict[Name, dict[str, object]] = Field({}, description="keys of backups that differ here, by backup id")
    deploys: dict[str, object] = Field({}, description="keys of `deploys` that differ here")
    channels: dict[Name, object] = Field({}, description="channels that differ here")
    escalation: tuple[Level, ...] | None = Field(None, description="escalation path here; the book's where left out")
