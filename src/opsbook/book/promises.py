"""The parts of a book about recovery, people, windows and other planned work."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from pydantic import Field, model_validator

from opsbook.book.catalogue import Strict
from opsbook.book.references import Reference
from opsbook.book.values import Cron, Duration, Name, Ratio, RecurrenceRule, TimeZone


class Generations(Strict):
    """How many backups of each age are kept."""

    hourly: int = Field(0, ge=0)
    daily: int = Field(0, ge=0)
    weekly: int = Field(0, ge=0)
    monthly: int = Field(0, ge=0)
    yearly: int = Field(0, ge=0)
    last: int = Field(0, ge=0, description="newest ones kept whatever their age")
    within: Duration | None = Field(None, description="all younger than this are kept")


class Backup(Strict):
    """A backup that is taken, kept and proven."""

    id: Name
    of: Name = Field(description="the component that is backed up")
    method: str = Field("dump", pattern="^(dump|schema|tables|globals|pgbackrest|files|rdb|store)$")
    tables: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    schedule: Cron | None = None
    timezone: TimeZone | None = None
    continuous: bool = False
    keep: Generations = Generations()
    to: Reference | None = Field(None, description="folder or s3:// address")
    copy_to: Reference | None = Field(None, description="second store, in another region")
    encrypt: Reference | None = Field(None, description="age recipient")
    retry: int = Field(3, ge=0)


class Window(Strict):
    """Planned maintenance, by rule or once."""

    id: Name
    rrule: RecurrenceRule | None = None
    at: datetime | None = Field(None, description="once, instead of `rrule`")
    lasts: Duration = timedelta(hours=1)
    notice: Duration | None = Field(None, description="how long before people are told")
    components: tuple[Name, ...] = Field((), description="which are affected; empty: all")
    timezone: TimeZone | None = None
    checklist: Name | None = None

    @model_validator(mode="after")
    def _when(self) -> Window:
        if (self.rrule is None) == (self.at is None):
            raise ValueError("a window has either `rrule` or `at`")
        return self


class Retention(Strict):
    """How long rows of a table or files of a folder are kept."""

    of: Name = Field("database", description="the component that holds them")
    table: str = ""
    column: str = Field("", description="the time column that tells a row's age")
    path: str = ""
    keep: Duration
    batch: int = Field(5000, gt=0, description="rows deleted at a time")

    @model_validator(mode="after")
    def _what(self) -> Retention:
        if bool(self.table) == bool(self.path):
            raise ValueError("retention has either `table` (with `column`) or `path`")
        if self.table and not self.column:
            raise ValueError("retention of a table needs `column`, the time column that tells a row's age")
        return self


class Contact(Strict):
    """A person, team, vendor or outside party."""

    name: str = ""
    role: str = ""
    email: str = ""
    phone: str = ""
    notify: Reference | None = Field(None, description="address of a channel for this contact")
    available: str = ""
    vendor: bool = False


class Shift(Strict):
    """An exception in an on-call rotation."""

    who: Name
    start: datetime
    end: datetime


class OnCall(Strict):
    """An on-call rotation."""

    members: tuple[Name, ...] = Field(min_length=1)
    start: datetime
    turn: Duration = timedelta(days=7)
    timezone: TimeZone | None = None
    overrides: tuple[Shift, ...] = ()


class Rotation(Strict):
    """A credential that is renewed on schedule."""

    id: Name
    of: Name
    kind: str = Field("password", pattern="^(password|token|certificate|secret)$")
    role: str = Field("", description="the database role or account")
    every: Duration
    secret: str = Field("", description="where workloads read it: a variable, a secret or a file")


class ChecklistItem(Strict):
    """One line of a checklist, ticked by a person or by a check."""

    text: str
    check: Name | None = None


class Checklist(Strict):
    """Recurring or situational work, kept as a record."""

    title: str = ""
    every: Cron | None = None
    items: tuple[str | ChecklistItem, ...] = Field(min_length=1)


class Assertion(Strict):
    """A query that proves that data is right after a restore."""

    id: Name
    of: Name
    sql: str
    expect: str = Field("rows > 0", description="expression over rows, value")


class SmokeTest(Strict):
    """A request that proves that a component serves."""

    id: Name
    of: Name
    path: str = "/"
    status: int = 200
    contains: str = ""


class Job(Strict):
    """A recurring job outside opsbook that should report or be seen to have run."""

    id: Name
    of: Name | None = None
    schedule: Cron | None = None
    grace: Duration = timedelta(minutes=15)
    timezone: TimeZone | None = None
    task: str = Field("", description="the Celery task or program that it runs")


class Access(Strict):
    """Who may act, by role."""

    viewer: tuple[str, ...] = ()
    responder: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()


class StatusPage(Strict):
    """The public status page."""

    title: str = ""
    to: str = Field("", description="folder it is written to")
    components: tuple[Name, ...] = ()


class AuditPolicy(Strict):
    """How the audit chain is kept."""

    keep: Duration = timedelta(days=365)
    head: str = Field("", description="file outside the store that gets the chain's signed head")


class ErrorBudget(Strict):
    """How much may go wrong while a deploy is watched."""

    watch: Duration = timedelta(minutes=10)
    errors: Ratio | None = None


class Holiday(Strict):
    """A day on which business-hour clocks stand still."""

    day: date
    name: str = ""
