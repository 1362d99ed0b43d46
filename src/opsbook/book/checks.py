"""Checks, and what is promised and foreseen from them, as a book writes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from opsbook.book.catalogue import Strict
from opsbook.book.references import SecretReference
from opsbook.book.threshold import Threshold
from opsbook.book.values import Duration, Name, Ratio

FORMS_DOC = 'a threshold such as "> 200ms", "< 20%", "is down", "outside 10..20" or "< 50% of 7d"'
EVERYWHERE = "environments that it belongs to; empty: all"


class Check(Strict):
    """An observation held against thresholds."""

    id: Name = Field(description="its own name; the check's history and alerts hang on it")
    observe: str = Field(description="name of an observation (`opsbook observations`)", examples=["postgres.up"])
    of: Name = Field(description="the component that is observed")
    title: str = Field("", description="a few words for people; the observation's own where left out")
    with_: dict[str, object] = Field(
        {}, alias="with", description="parameters of the observation (`opsbook observations NAME`)"
    )
    warning: Threshold | None = Field(None, description=f"values that deserve a look: {FORMS_DOC}")
    critical: Threshold | None = Field(None, description=f"values that need somebody now: {FORMS_DOC}")
    for_: Duration = Field(timedelta(0), alias="for", description="how long it must stay bad before it is an alert")
    interval: Duration | None = Field(None, description="how often the watch runs it; `intervals` where left out")
    timeout: Duration | None = Field(None, description="after which it is cut and unknown; `intervals` where left out")
    depends_on: tuple[Name, ...] = Field(
        (), description="components whose fault explains this one, besides those of its component"
    )
    procedure: Name | None = Field(None, description="what to run when it is bad")
    severity: str | None = Field(None, description="the severity of its incident; a name of `severities`")
    notify: tuple[Name, ...] = Field((), description="channels, rotations or contacts told besides the escalation path")
    unknown: Literal["unknown", "critical", "warning"] = Field("unknown", description="what missing data counts as")
    groups: tuple[Name, ...] = Field((), description="names to select checks by: daily, deploy, security …")
    environments: tuple[Name, ...] = Field((), description=EVERYWHERE)


class Intervals(Strict):
    """Rhythm and patience of checks, unless a check says its own; and how long is kept what the watch saw and did."""

    check: Duration = Field(timedelta(minutes=1), description="how often")
    timeout: Duration = Field(timedelta(seconds=10), description="how long one may take")
    keep_raw: Duration = Field(timedelta(days=14), description="how long single results are kept")
    keep_rollups: Duration = Field(
        timedelta(days=400), description="how long five-minute and hourly figures, alerts and silences are kept"
    )
    keep_incidents: Duration = Field(
        timedelta(days=730), description="how long an incident is kept after its end, with its timeline and actions"
    )
    keep_evidence: Duration = Field(
        timedelta(days=90), description="how long what was gathered for an incident is kept after its end"
    )
    keep_messages: Duration = Field(timedelta(days=90), description="how long it is kept who was told what")


class Slo(Strict):
    """A promise about service over time."""

    id: Name = Field(description="its own name")
    title: str = Field("", description="a few words for people")
    check: Name = Field(description="the check whose ok share is counted")
    target: Ratio = Field(description="the share of time in which the check is ok", examples=["99.9%"])
    over: Duration = Field(timedelta(days=30), description="the time that it is counted over")
    burn_fast: float = Field(
        14.4, gt=0, description="error budget burnt this many times too fast in an hour is critical"
    )
    burn_slow: float = Field(
        6, gt=0, description="error budget burnt this many times too fast in six hours is a warning"
    )


class Capacity(Strict):
    """Something that fills up, and how long before its end somebody must know."""

    id: Name = Field(description="its own name")
    check: Name = Field(description="the check whose stored values show the growth")
    limit: str = Field(description="the value at which it is full", examples=["100%", "500GB"])
    warn_before: Duration = Field(timedelta(days=30), description="warned when the limit is nearer than this")
    over: Duration = Field(timedelta(days=28), description="the past from which the growth is taken")


class DeadMan(Strict):
    """Somebody outside who notices when opsbook itself no longer runs."""

    ping: SecretReference | None = Field(None, description="address asked at every beat (Healthchecks and the like)")
    every: Duration = Field(timedelta(minutes=1), description="rhythm of the beat")
