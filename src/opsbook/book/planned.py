"""Planned work: windows, freezes, checklists, credentials, certificates, jobs, reports."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from opsbook.book.catalogue import Risk, Strict
from opsbook.book.checks import EVERYWHERE
from opsbook.book.issuers import Issuer
from opsbook.book.references import Reference, SecretReference
from opsbook.book.values import Cron, Duration, Name, RecurrenceRule, Short, TimeZone


class Window(Strict):
    """Planned maintenance, by rule or once."""

    id: Name = Field(description="its own name")
    title: str = Field("", description="what the public reads")
    rrule: RecurrenceRule | None = Field(None, description="when it begins, again and again (RFC 5545)")
    at: datetime | None = Field(None, description="when it begins, once, instead of `rrule`")
    lasts: Duration = Field(timedelta(hours=1), gt=timedelta(0), description="how long")
    notice: Duration | None = Field(None, description="how long before people are told")
    notify: tuple[Name, ...] = Field((), description="channels and contacts that get the notice")
    components: tuple[Name, ...] = Field((), description="which are affected; empty: all")
    timezone: TimeZone | None = Field(None, description="the book's where left out")
    before: Name | None = Field(None, description="the checklist that must be ticked before its procedures begin")
    checklist: Name | None = Field(None, description="the checklist worked in it; it is over when that is ticked")
    procedures: tuple[Name, ...] = Field((), description="procedures that run in it, in order")
    environments: tuple[Name, ...] = Field((), description=EVERYWHERE)

    @model_validator(mode="after")
    def _when(self) -> Window:
        if (self.rrule is None) == (self.at is None):
            raise ValueError("a window begins by `rrule` or `at`; write one of them")
        return self


class Freeze(Strict):
    """A time in which nothing of this risk or above is changed."""

    id: Name = Field(description="its own name")
    start: datetime = Field(description="from; the book's time zone where it has no offset")
    end: datetime = Field(description="until")
    risk: Risk = Field(Risk.DISRUPTIVE, description="the least risk that is refused")
    reason: str = Field("", description="why, for the one who is refused")
    environments: tuple[Name, ...] = Field((), description=EVERYWHERE)

    @model_validator(mode="after")
    def _ordered(self) -> Freeze:
        if (self.start.tzinfo is None) != (self.end.tzinfo is None):
            raise ValueError("only one of `start` and `end` has an offset; write it at both, or at neither")
        if self.start >= self.end:
            raise ValueError("`end` is not after `start`; were they exchanged?")
        return self


class Maintenance(Strict):
    """How the system is put in maintenance and taken out again."""

    of: Name | None = Field(None, description="the proxy that serves the maintenance page; its `switch` turns it on")
    message: str = Field("", description="what users read")
    notify: tuple[Name, ...] = Field((), description="channels told at its begin and end")
    checks: tuple[Name, ...] = Field((), description="ids or groups of checks that must be well before it ends")
    longest: Duration = Field(timedelta(hours=4), description="after which somebody is asked whether it goes on")
    node: tuple[str, ...] = Field(
        (), description="command that does the work on an emptied node, its name in NODE; a person does it if left out"
    )


class ChecklistItem(Strict):
    """One line of a checklist, ticked by a person, by a check, or by a run. In its short form it is the text alone."""

    text: str = Field(min_length=1, description="what is to be done or seen")
    check: Name | None = Field(None, description="the check that ticks it")
    procedure: Name | None = Field(None, description="the procedure whose good run ticks it")
    optional: bool = Field(False, description="the list is done without it")


class Checklist(Strict):
    """Recurring or situational work, kept as a record."""

    title: str = Field("", description="its name for people")
    every: Cron | None = Field(None, description="when it is due; when something opens it where left out")
    within: Duration | None = Field(None, description="how long after it is due it must be done")
    timezone: TimeZone | None = Field(None, description="the book's where left out")
    on: Literal["incident", "deploy", "window", "shift"] | None = Field(None, description="what opens it")
    assign: Name | None = Field(None, description="rotation or contact who works it")
    items: tuple[Annotated[ChecklistItem, Short("text")], ...] = Field(min_length=1, description="its lines")


class Rotation(Strict):
    """A credential that is renewed on schedule. The old one is proven dead."""

    id: Name = Field(description="its own name")
    of: Name = Field(description="the component whose credential it is")
    kind: Literal["password", "token", "secret", "key"] = Field("password", description="what is renewed")
    role: str = Field("", description="the role or user; in PostgreSQL ROLE_a and ROLE_b take turns as its logins")
    every: Duration = Field(description="how old it may become")
    warn_before: Duration = Field(timedelta(days=14), description="how long before that somebody is told")
    to: Reference | None = Field(
        None,
        description="where workloads read it, as it is or in an address: file:PATH, env:FILE#NAME, secret:NAME/KEY",
        examples=["env:/etc/shop.env#DATABASE_URL"],
    )
    also: tuple[Reference, ...] = Field((), description="further places that hold it, or the name of its user")
    previous: Reference | None = Field(
        None, description="place of the one from before, which the application accepts too until `overlap` is over"
    )
    issuer: Issuer | None = Field(
        None, description="who makes, tries and revokes it, where the component cannot be asked"
    )
    restart: tuple[Name, ...] = Field((), description="components that read it only when they start")
    overlap: Duration = Field(timedelta(0), description="how long old and new are both valid")
    length: int = Field(40, ge=16, description="characters of a generated secret")
    environments: tuple[Name, ...] = Field((), description=EVERYWHERE)


class Certificate(Strict):
    """A certificate that is kept valid."""

    id: Name = Field(description="its own name")
    of: Name | None = Field(None, description="the component that serves it; renewal is proven there")
    names: tuple[str, ...] = Field(min_length=1, description="host names in it", examples=[["api.example.org"]])
    method: Literal["acme", "by-hand", "runtime"] = Field(
        "acme", description="how it is renewed; `runtime`: something else does (cert-manager), opsbook watches"
    )
    directory: Reference | None = Field(None, description="address of the ACME directory; Let's Encrypt where left out")
    account_email: str = Field("", description="whom the authority may write to")
    account_key: str = Field("", description="file of the ACME account's key; made beside `key` where left out")
    authority: str = Field("", description="file of the authority's root, where the system does not trust it")
    challenge: Literal["http-01", "dns-01"] = Field("http-01", description="how control is proven")
    webroot: str = Field("", description="folder that the proxy serves under /.well-known/acme-challenge")
    dns_hook: str = Field("", description="program that is called as `set|remove NAME VALUE` for a DNS record (TXT)")
    certificate: Reference | None = Field(None, description="file:PATH or secret:NAME/KEY that gets the chain")
    key: Reference | None = Field(None, description="file:PATH or secret:NAME/KEY that gets the key")
    key_type: Literal["ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-4096"] = Field("ecdsa-p256", description="its key")
    renew_before: Duration = Field(timedelta(days=30), description="renewed when its end is nearer than this")
    reload: tuple[Name, ...] = Field((), description="components that are told to read it again")
    environments: tuple[Name, ...] = Field((), description=EVERYWHERE)


class Job(Strict):
    """A recurring job outside opsbook that should report or be seen to have run."""

    id: Name = Field(description="its own name")
    of: Name | None = Field(None, description="the component that runs it")
    schedule: Cron | None = Field(None, description="when it is due")
    timezone: TimeZone | None = Field(None, description="the book's where left out")
    grace: Duration = Field(timedelta(minutes=15), description="how late it may be")
    longest: Duration | None = Field(None, description="how long it may take")
    task: str = Field("", description="the Celery task or program that it runs; `opsbook` can start it by this name")
    observe: str | None = Field(None, description="the observation that shows that it ran, where it does not report")
    with_: dict[str, object] = Field({}, alias="with", description="parameters of that observation")
    procedure: Name | None = Field(None, description="what to run when it is late or has failed")
    environments: tuple[Name, ...] = Field((), description=EVERYWHERE)


class Report(Strict):
    """A summary that is written on schedule."""

    id: Name = Field(description="its own name")
    kind: Literal["handover", "daily", "weekly", "monthly", "objectives", "audit"] = Field(description="what it tells")
    schedule: Cron = Field(description="when it is written")
    timezone: TimeZone | None = Field(None, description="the book's where left out")
    to: Reference | None = Field(None, description="folder or s3:// address that it is written to")
    notify: tuple[Name, ...] = Field((), description="channels and contacts that get it")


class AuditPolicy(Strict):
    """How the audit chain is kept."""

    keep: Duration = Field(timedelta(days=365), description="how long")
    head: Reference | None = Field(
        None, description="where its signed head goes, outside the store: file:PATH, syslog:, s3://…"
    )
    key: SecretReference | None = Field(
        None, description="the key that signs the head, Ed25519 as PEM; one is made beside the store where left out"
    )
    export_to: Reference | None = Field(
        None, description="folder (a file a month) or file that records and signed heads are appended to"
    )
