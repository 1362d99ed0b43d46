"""Checks and promises as a book writes them."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, model_validator

from opsbook.book.catalogue import Parameters, Strict
from opsbook.book.threshold import Threshold
from opsbook.book.values import Duration, Name, Ratio, TimeZone

BASELINE_DOC = 'a threshold such as "> 200ms", "< 20%", "is down", "outside 10..20" or "< 50% of 7d"'


class Check(Strict):
    """An observation held against thresholds."""

    id: Name
    observe: str = Field(description="name of an observation (`opsbook observations`)")
    of: Name = Field(description="the component that is observed")
    title: str = Field("", description="a few words for people; the observation's own where left out")
    with_: dict[str, object] = Field({}, alias="with", description="parameters of the observation")
    warning: Threshold | None = Field(None, description=f"values that deserve a look: {BASELINE_DOC}")
    critical: Threshold | None = Field(None, description=f"values that need somebody now: {BASELINE_DOC}")
    for_: Duration = Field(timedelta(0), alias="for", description="how long it must stay bad before it is an alert")
    interval: Duration | None = Field(None, description="how often the watch runs it; `intervals` where left out")
    timeout: Duration | None = Field(None, description="after which it is cut and unknown; `intervals` where left out")
    depends_on: tuple[Name, ...] = Field(
        (), description="components whose fault explains this one, besides those of its component"
    )
    procedure: Name | None = Field(None, description="what to run when it is bad")
    severity: Name | None = Field(None, description="the severity of its incident; a name of `severities`")
    unknown: str = Field("unknown", pattern="^(unknown|critical|warning)$", description="what missing data counts as")
    groups: tuple[Name, ...] = Field((), description="names to select checks by: daily, deploy, security …")

    _parsed: Parameters | None = None


class Intervals(Strict):
    """Rhythm and patience of checks, unless a check says its own."""

    check: Duration = Field(timedelta(minutes=1), description="how often")
    timeout: Duration = Field(timedelta(seconds=10), description="how long one may take")
    keep_raw: Duration = Field(timedelta(days=14), description="how long single results are kept")
    keep_rollups: Duration = Field(timedelta(days=400), description="how long five-minute and hourly figures are kept")


class Objective(Strict):
    """A promise about recovery. Stored with its measurement, or shown as unproven."""

    rto: Duration | None = Field(None, description="time until it serves again after a loss")
    rpo: Duration | None = Field(None, description="age of the data that a loss may cost")
    drill: str = Field("", description="cron line on which it is drilled")


class Slo(Strict):
    """A promise about service over time."""

    id: Name
    check: Name = Field(description="the check whose ok share is counted")
    target: Ratio = Field(description="for example 99.9%")
    over: Duration = Field(timedelta(days=30), description="the time it is counted over")


class Severity(Strict):
    """What an incident of this grade promises."""

    means: str = Field("", description="how to recognise it")
    respond: Duration | None = Field(None, description="until somebody has acknowledged")
    resolve: Duration | None = Field(None, description="until it is over")
    update_every: Duration | None = Field(None, description="rhythm of status updates")
    business_hours: BusinessHours | None = Field(None, description="clocks run only then")
    escalation: tuple[Level, ...] = Field((), description="its own path instead of the book's")


class Level(Strict):
    """One rung of an escalation path."""

    level: str = Field(description="L1, L2, management …")
    notify: str = Field(description="a channel, an on-call rotation, or a contact")
    within: Duration = Field(timedelta(0), description="how long after the start it is told, while nobody acknowledged")
    repeat: Duration | None = Field(None, description="told again at this rhythm")


class BusinessHours(Strict):
    """Hours in which clocks run."""

    days: tuple[str, ...] = ("MO", "TU", "WE", "TH", "FR")
    start: str = Field("09:00", pattern=r"^\d\d:\d\d$")
    end: str = Field("17:00", pattern=r"^\d\d:\d\d$")
    timezone: TimeZone | None = None

    @model_validator(mode="after")
    def _ordered(self) -> BusinessHours:
        if self.start >= self.end:
            raise ValueError(f"business hours end ({self.end}) before they start ({self.start})")
        return self


Severity.model_rebuild()
