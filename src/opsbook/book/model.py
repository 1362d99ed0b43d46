"""The whole of `book.yaml`, version 1.

Keys that this version of opsbook only accepts are named in INACTIVE; `opsbook doctor` says so where a book uses one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache, reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, create_model

from opsbook.book.catalogue import Catalogue, Component, Strict
from opsbook.book.checks import Capacity, Check, DeadMan, Intervals, Slo
from opsbook.book.delivery import Deploys, Scaling, SmokeTest
from opsbook.book.environments import Environment, Policy
from opsbook.book.people import (
    Access,
    ChannelOrUrl,
    Contact,
    Holiday,
    Incidents,
    Level,
    OnCall,
    Severity,
    Silence,
    StatusPage,
)
from opsbook.book.planned import (
    AuditPolicy,
    Certificate,
    Checklist,
    Freeze,
    Job,
    Maintenance,
    Report,
    Rotation,
    Window,
)
from opsbook.book.recovery import Assertion, Backup, Drill, Export, Objective, Retention
from opsbook.book.values import Name, TimeZone

VERSION = 1

INACTIVE = {
    "deploys.image": "a version is an image as the runtime names it; the workload says which image is its own",
    "deploys.components.*.image": "a version is an image as the runtime names it; the workload says which is its own",
    "deploys.wave": "`update-system` takes each component after what it needs",
    "deploys.components.*.wave": "`update-system` takes each component after what it needs",
    "retention.*.where": "rows are purged by age alone; a rule with `where` has no procedure",
    "scaling.*.cpu": "it says that an autoscaler holds the component; the aim stays as the cluster has it",
    "scaling.*.memory": "it says that an autoscaler holds the component; the aim stays as the cluster has it",
    "scaling.*.step": "instances are added as `workload.scale` or the autoscaler says",
}
"""Key path → why it does nothing yet. `*` is any name or place in a list."""
ACTS_BESIDE: dict[str, str] = {}
"""Key path of these → the key beside which it does act."""


class BookModel(Strict):
    """All that is known of one system. Its `components` are typed by the catalogue, see `book_model`."""

    opsbook: Literal[1] = Field(description="version of this format")
    system: Name = Field(description="name of the system")
    title: str = Field("", description="its name for people")
    description: str = Field("", description="what it is for, in a sentence")
    timezone: TimeZone = Field("UTC", description="in which schedules and windows are written")
    owner: str = Field("", description="the team or person who answers for it")
    procedures: str = Field("procedures", description="folder of the procedures, from the book's own")
    default_environment: Name | None = Field(None, description="the environment meant where none is named")
    environments: dict[Name, Environment] = Field(min_length=1, description="where the system runs")
    components: dict[Name, Any] = Field(min_length=1, description="the parts of the system")
    checks: tuple[Check, ...] = Field((), description="observations held against thresholds")
    intervals: Intervals = Field(Intervals(), description="rhythm of checks, and how long things are kept")
    slos: tuple[Slo, ...] = Field((), description="promises about service over time")
    capacity: tuple[Capacity, ...] = Field((), description="what fills up")
    objectives: dict[Name, Objective] = Field(
        {}, description="promises about recovery, by component; `system` and `application` stand for the whole"
    )
    backups: tuple[Backup, ...] = Field((), description="what is backed up, when, where to, and what is kept")
    drills: tuple[Drill, ...] = Field((), description="how objectives are proven")
    assertions: tuple[Assertion, ...] = Field((), description="queries that prove that data is right")
    retention: tuple[Retention, ...] = Field((), description="how long data is kept")
    exports: tuple[Export, ...] = Field((), description="bundles of data that are handed out")
    severities: dict[str, Severity] = Field({}, description="grades of incidents, the most urgent first")
    incidents: Incidents = Field(Incidents(), description="how incidents are opened and worked")
    escalation: tuple[Level, ...] = Field((), description="who is told, and when the next one is")
    channels: dict[Name, ChannelOrUrl] = Field({}, description="where messages go: an address, or its settings")
    contacts: dict[Name, Contact] = Field({}, description="people, teams, vendors, outside parties")
    oncall: dict[Name, OnCall] = Field({}, description="on-call rotations")
    holidays: tuple[Holiday, ...] = Field((), description="days on which business-hour clocks stand still")
    silences: tuple[Silence, ...] = Field((), description="alerts that are known and not told")
    status_page: StatusPage | None = Field(None, description="the public status page")
    windows: tuple[Window, ...] = Field((), description="planned maintenance")
    freezes: tuple[Freeze, ...] = Field((), description="times in which nothing is changed")
    maintenance: Maintenance = Field(Maintenance(), description="how the system is put in maintenance")
    checklists: dict[Name, Checklist] = Field({}, description="recurring or situational work")
    rotations: tuple[Rotation, ...] = Field((), description="credentials that are renewed")
    certificates: tuple[Certificate, ...] = Field((), description="certificates that are kept valid")
    jobs: tuple[Job, ...] = Field((), description="recurring jobs of the system")
    reports: tuple[Report, ...] = Field((), description="summaries written on schedule")
    deploys: Deploys = Field(Deploys(), description="how components are deployed")
    smoke_tests: tuple[SmokeTest, ...] = Field((), description="requests that prove that a component serves")
    scaling: dict[Name, Scaling] = Field(
        {}, description="how large components should be; `apply-scaling-NAME` brings a cluster to it"
    )
    policies: dict[Name, Policy] = Field({}, description="what a risk needs, besides the built-in `open` and `strict`")
    access: Access = Field(Access(), description="who may act")
    audit: AuditPolicy = Field(AuditPolicy(), description="how the audit chain is kept")
    dead_man: DeadMan = Field(DeadMan(), description="who notices when opsbook itself no longer runs")


def book_model(catalogue: Catalogue, kinds: Collection[str] | None = None) -> type[BookModel]:
    """The model whose components are exactly the kinds of the catalogue; or these ones, where it has them all.

    Only what is named is imported, and a model of few kinds is built in a fraction of the time.
    """
    known = catalogue.components
    if not kinds or any(kind not in known for kind in kinds):
        kinds = known
    return _with_components(tuple(known[kind] for kind in sorted(kinds)) or (Component,))


def kinds_in(data: Mapping[str, Any]) -> frozenset[str]:
    """The kinds that the components of a written book say they have."""
    components = data.get("components")
    entries = components.values() if isinstance(components, Mapping) else ()
    kinds = (one.get("kind") for one in entries if isinstance(one, Mapping))
    return frozenset(kind for kind in kinds if isinstance(kind, str))


@cache
def _with_components(kinds: tuple[type[Component], ...]) -> type[BookModel]:
    one: Any = kinds[0] if len(kinds) == 1 else Annotated[reduce(or_, kinds), Discriminator("kind")]
    components = (dict[Name, one], Field(min_length=1, description="the parts of the system"))
    return create_model("Book", __base__=BookModel, __doc__=BookModel.__doc__, components=components)
