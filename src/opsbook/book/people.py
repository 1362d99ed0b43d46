"""Who is told, who answers, who may act, and what incidents promise."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from opsbook.book.catalogue import Strict
from opsbook.book.references import Reference, SecretReference
from opsbook.book.values import Duration, Name, Short, TimeOfDay, TimeZone

Role = Literal["viewer", "responder", "operator", "admin"]


class BusinessHours(Strict):
    """Hours in which clocks run."""

    days: tuple[Literal["MO", "TU", "WE", "TH", "FR", "SA", "SU"], ...] = Field(
        ("MO", "TU", "WE", "TH", "FR"), min_length=1, description="days of the week"
    )
    start: TimeOfDay = Field(time(9), description="from")
    end: TimeOfDay = Field(time(17), description="until")
    timezone: TimeZone | None = Field(None, description="the book's where left out")

    @model_validator(mode="after")
    def _ordered(self) -> BusinessHours:
        if self.start >= self.end:
            raise ValueError(
                f"these hours end ({self.end:%H:%M}) before they start ({self.start:%H:%M}); exchange them"
            )
        return self


class Channel(Strict):
    """Somewhere that messages go. In its short form it is the address alone."""

    url: SecretReference = Field(
        description="its address, in the form that its service has; Apprise's forms are understood",
        examples=["${ONCALL_URL}", "mailto:ops@example.org", "slack://${SLACK_TOKEN}"],
    )
    format: Literal["text", "markdown", "json", "pagerduty", "slack"] | None = Field(
        None, description="form of the message; from the address where left out"
    )
    from_severity: str | None = Field(
        None, description="less urgent severities are not sent here, but for pages of an escalation path"
    )
    digest: Duration | None = Field(None, description="messages are collected and sent together at this rhythm")
    quiet: BusinessHours | None = Field(None, description="hours without messages, except those of an escalation")
    timeout: Duration = Field(timedelta(seconds=10), description="how long one delivery may take")


ChannelOrUrl = Annotated[Channel, Short("url")]


class Contact(Strict):
    """A person, team, vendor or outside party."""

    name: str = Field("", description="its name for people")
    role: str = Field("", description="what they answer for")
    email: str = Field("", description="mail address")
    phone: str = Field("", description="telephone number")
    url: str = Field("", description="support portal or page")
    notify: SecretReference | None = Field(None, description="address of a channel for this contact")
    user: str = Field("", description="name by which they act in opsbook")
    sign_in: str = Field(
        "", description="name by which the provider of `access.oidc` knows them, where that is not `user`",
        examples=["zoe.kay"],
    )  # fmt: skip
    timezone: TimeZone | None = Field(None, description="where they are")
    available: str = Field("", description="when they answer", examples=["24/7", "weekdays 9–17 UTC"])
    vendor: bool = Field(False, description="an outside company")
    contract: str = Field("", description="customer or contract number that a vendor asks for")
    respond: Duration | None = Field(None, description="how soon they promise to answer")
    components: tuple[Name, ...] = Field((), description="the components that they stand for")


class Shift(Strict):
    """An exception in an on-call rotation."""

    who: Name = Field(description="a member, or any contact")
    start: datetime = Field(description="from; the book's time zone where it has no offset")
    end: datetime = Field(description="until")

    @model_validator(mode="after")
    def _ordered(self) -> Shift:
        if (self.start.tzinfo is None) != (self.end.tzinfo is None):
            raise ValueError("only one of `start` and `end` has an offset; write it at both, or at neither")
        if self.start >= self.end:
            raise ValueError("`end` is not after `start`; were they exchanged?")
        return self


class OnCall(Strict):
    """An on-call rotation."""

    members: tuple[Name, ...] = Field(min_length=1, description="names of `contacts`, in their order")
    start: datetime = Field(description="when the first member's first turn begins")
    turn: Duration = Field(timedelta(days=7), gt=timedelta(0), description="how long a turn is")
    hours: BusinessHours | None = Field(None, description="on call only then")
    timezone: TimeZone | None = Field(None, description="in which turns change; the book's where left out")
    overrides: tuple[Shift, ...] = Field((), description="exceptions: holidays, swapped turns")
    backup: Name | None = Field(None, description="rotation or contact told where nobody is on call")


class Holiday(Strict):
    """A day on which business-hour clocks stand still."""

    day: date = Field(description="the day", examples=["2026-12-25"])
    name: str = Field("", description="what it is called")


class Level(Strict):
    """One rung of an escalation path."""

    level: str = Field(min_length=1, description="its name", examples=["L1", "L2", "management"])
    notify: Name = Field(description="a channel, an on-call rotation, or a contact")
    within: Duration = Field(timedelta(0), description="how long after the start it is told, while nobody acknowledged")
    repeat: Duration | None = Field(
        None, gt=timedelta(0), description="told again at this rhythm; the last level every 30m where no level says one"
    )


class Severity(Strict):
    """What an incident of this grade promises. The first of the book is the most urgent."""

    means: str = Field("", description="how to recognise it")
    respond: Duration | None = Field(None, description="until somebody has acknowledged; 0s is at once")
    resolve: Duration | None = Field(None, description="until it is over")
    update_every: Duration | None = Field(None, gt=timedelta(0), description="rhythm of status updates")
    business_hours: BusinessHours | None = Field(None, description="its clocks run only then")
    escalation: tuple[Level, ...] = Field((), description="its own path instead of the book's")
    notify: tuple[Name, ...] = Field((), description="channels, rotations or contacts told at once, besides the path")
    postmortem: bool = Field(False, description="it needs a post-mortem")


class Incidents(Strict):
    """How incidents are opened and worked."""

    open_for: tuple[Literal["critical", "warning", "unknown"], ...] = Field(
        ("critical",), description="states of a check that open one, after its `for`"
    )
    severity: dict[Literal["critical", "warning", "unknown"], str] = Field(
        {}, description="severity of an incident by the state of its check, where the check names none"
    )
    group_by: Literal["cause", "component", "check"] = Field("cause", description="which alerts share an incident")
    resolve_after: Duration = Field(timedelta(minutes=5), description="how long all must be well before it is resolved")
    reopen_within: Duration = Field(timedelta(hours=1), description="the same fault within this time reopens it")
    roles: tuple[Name, ...] = Field((), description="roles that people take in one", examples=[["commander", "scribe"]])
    diagnostics: tuple[Name, ...] = Field((), description="read-only procedures run when it opens, kept as evidence")
    checklist: Name | None = Field(None, description="checklist that is opened with it")
    postmortem_within: Duration = Field(timedelta(days=5), description="when the post-mortem is due")
    template: str = Field("", description="Markdown file that a post-mortem begins as")
    folder: str = Field("incidents", description="where reports and post-mortems are written")


class Silence(Strict):
    """Alerts that are known and not told, until a day that is named."""

    id: Name = Field(description="its own name")
    checks: tuple[Name, ...] = Field((), description="ids or groups of checks")
    components: tuple[Name, ...] = Field((), description="all checks of these components")
    until: datetime = Field(description="when it ends; a silence always ends")
    start: datetime | None = Field(None, description="when it begins; at once where left out")
    reason: str = Field(min_length=1, description="why, for the one who wonders")

    @model_validator(mode="after")
    def _what(self) -> Silence:
        if not (self.checks or self.components):
            raise ValueError("a silence never covers everything; name `checks` or `components`")
        return self


class Oidc(Strict):
    """Signing in by an identity provider."""

    issuer: str = Field(description="address of the provider")
    client_id: str = Field(description="opsbook's id there")
    client_secret: SecretReference | None = Field(None, description="opsbook's secret there")
    groups_claim: str = Field("groups", description="the claim that lists the groups of a person")
    scopes: tuple[str, ...] = Field(("openid", "profile", "email", "groups"), description="what is asked for")


class Access(Strict):
    """Who may act, by role: names of users, `group:NAME` for groups. A role includes those before it."""

    viewer: tuple[str, ...] = Field((), description="may see everything but secrets")
    responder: tuple[str, ...] = Field((), description="may acknowledge, work incidents, run safe procedures")
    operator: tuple[str, ...] = Field((), description="may run and approve changes as the policy says")
    admin: tuple[str, ...] = Field((), description="may change tokens and settings")
    everybody: Role | None = Field(None, description="the role of those who are not named; none where left out")
    oidc: Oidc | None = Field(None, description="signing in to the web face by an identity provider")


class StatusPage(Strict):
    """The public status page."""

    title: str = Field("", description="its headline; the system's title where left out")
    url: str = Field("", description="where the public finds it")
    to: Reference | None = Field(None, description="folder or s3:// address that it is written to")
    components: dict[Name, str] = Field({}, description="the components shown → the name that the public knows")
    history: Duration = Field(timedelta(days=90), description="how far back it shows")
    contact: str = Field("", description="where the public may ask")
