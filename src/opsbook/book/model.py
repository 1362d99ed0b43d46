"""The whole of `book.yaml`, version 1.

Keys that this version of opsbook only accepts are named in INACTIVE; `opsbook doctor` says so where a book uses one.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, create_model

from opsbook.book.catalogue import Catalogue, Component, Strict
from opsbook.book.checks import Check, Intervals, Level, Objective, Severity, Slo
from opsbook.book.environments import Environment, Policy
from opsbook.book.promises import (
    Access,
    Assertion,
    AuditPolicy,
    Backup,
    Checklist,
    Contact,
    ErrorBudget,
    Holiday,
    Job,
    OnCall,
    Retention,
    Rotation,
    SmokeTest,
    StatusPage,
    Window,
)
from opsbook.book.references import Reference
from opsbook.book.values import Name, TimeZone

VERSION = 1

INACTIVE = {
    "objectives": "recovery objectives are not measured yet",
    "backups": "backups are not taken yet",
    "severities": "incidents are not worked yet",
    "escalation": "nobody is paged yet",
    "windows": "maintenance windows do not begin or end by themselves yet",
    "retention": "nothing is purged yet",
    "channels": "messages are not sent yet",
    "oncall": "on-call rotations are not followed yet",
    "rotations": "credentials are not rotated yet",
    "checklists": "checklists are not kept yet",
    "holidays": "business-hour clocks do not run yet",
    "assertions": "assertions are run by restores, which are not there yet",
    "smoke_tests": "smoke tests are run by deploys, which are not there yet",
    "slos": "service levels are not counted yet",
    "status_page": "no status page is written yet",
    "jobs": "jobs are not watched yet",
    "access": "roles are not enforced yet",
    "policies": "policies guard operations, which are not there yet",
    "deploys": "deploys are not watched yet",
    "audit": "there is no audit chain yet",
}


class BookModel(Strict):
    """All that is known of one system. Its `components` are typed by the catalogue, see `book_model`."""

    opsbook: Literal[1] = Field(description="version of this format")
    system: Name = Field(description="name of the system")
    title: str = Field("", description="its name for people")
    timezone: TimeZone = Field("UTC", description="in which schedules and windows are written")
    owner: str = ""
    default_environment: Name | None = Field(None, description="the environment meant where none is named")
    environments: dict[Name, Environment] = Field(min_length=1)
    components: dict[Name, Any] = Field(min_length=1)
    checks: tuple[Check, ...] = ()
    intervals: Intervals = Intervals()
    objectives: dict[Name, Objective] = {}
    slos: tuple[Slo, ...] = ()
    backups: tuple[Backup, ...] = ()
    retention: tuple[Retention, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    smoke_tests: tuple[SmokeTest, ...] = ()
    severities: dict[str, Severity] = {}
    escalation: tuple[Level, ...] = ()
    channels: dict[Name, Reference] = {}
    contacts: dict[Name, Contact] = {}
    oncall: dict[Name, OnCall] = {}
    windows: tuple[Window, ...] = ()
    holidays: tuple[Holiday, ...] = ()
    checklists: dict[Name, Checklist] = {}
    rotations: tuple[Rotation, ...] = ()
    jobs: tuple[Job, ...] = ()
    policies: dict[Name, Policy] = {}
    access: Access = Access()
    deploys: ErrorBudget = ErrorBudget()
    audit: AuditPolicy = AuditPolicy()
    status_page: StatusPage = StatusPage()


def book_model(catalogue: Catalogue) -> type[BookModel]:
    """The model whose components are exactly the kinds of the catalogue."""
    kinds: list[Any] = list(catalogue.components.values()) or [Component]
    one: Any = kinds[0] if len(kinds) == 1 else Annotated[reduce(or_, kinds), Discriminator("kind")]
    return create_model(
        "Book", __base__=BookModel, __doc__=BookModel.__doc__, components=(dict[Name, one], Field(min_length=1))
    )
